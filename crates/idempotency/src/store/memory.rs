//! Records in this process, measured by `Instant`.

mod contents;
mod shards;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use contents::Content;
use shards::{Expires, Shards};
use tokens::Token;

use crate::{Owner, TokenId};

/// A store in memory: real leases, lives and races, nothing that survives the process. Clones share their records.
///
/// Records whose time is over are swept out as new ones come in, so memory follows what is alive.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tokens: Shards<TokenId, Token>,
    /// The token that counts, by purpose and user.
    latest: Shards<(String, String), Bare<TokenId>>,
    bare: Shards<String, Bare<String>>,
    contents: Shards<String, Content>,
}

/// A value with nothing but an end.
struct Bare<V> {
    value: V,
    until: Instant,
}

impl<V> Expires for Bare<V> {
    fn until(&self) -> Instant {
        self.until
    }
}

/// A claim, common to tokens and contents.
#[derive(Clone)]
struct Hold {
    attempt: u32,
    takeover: bool,
    owner: Owner,
    holder: String,
    since: Instant,
    lease_until: Instant,
    tail: std::time::Duration,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records it holds, those included whose time is over and that are not swept out yet.
    pub fn len(&self) -> usize {
        self.inner.tokens.len() + self.inner.contents.len() + self.inner.bare.len()
    }

    /// True if it holds no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
