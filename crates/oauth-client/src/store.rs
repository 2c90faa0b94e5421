//! Where pending logins, sent codes and tokens are kept, and how to plug in a place of your own.
//!
//! Everything a store gets is either a [`Digest`] or sealed: it learns neither states nor codes nor tokens.

mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use onceward_backend::BackendError;

pub use self::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "mysql")]
pub use self::sql::MySqlStore;
#[cfg(feature = "postgres")]
pub use self::sql::PostgresStore;
#[cfg(feature = "sql")]
pub use self::sql::SqlStore;
#[cfg(feature = "sqlite")]
pub use self::sql::SqliteStore;
use crate::Digest;

/// Largest number of bytes that a store is given in one record.
pub const MAX_BODY: usize = 64 * 1024;

/// A record of a login.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Grows by one with each replacement.
    pub version: i64,
    /// What was written.
    pub body: Vec<u8>,
    /// Time since this version was written, on the store's clock.
    pub age: Duration,
    /// Time until it expires, on the store's clock.
    pub left: Duration,
}

/// Sealed tokens of an account.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Another one after each write, also after a deletion.
    pub version: i64,
    /// What was written.
    pub body: Vec<u8>,
}

/// Keeps the record of each login: pending, running, done.
#[async_trait]
pub trait FlowStore: Debug + Send + Sync + 'static {
    /// Keeps a record of version 1 for `ttl`. Answers whether there was none of this id.
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError>;

    /// The record, unless it is absent or expired.
    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError>;

    /// Replaces the record, and its life, if it still has this version and has not expired; of several that try with
    /// one version, one gets `true`. The new version is one more.
    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError>;

    /// Removes at most `limit` expired records; answers how many.
    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError>;
}

/// Remembers which codes were sent.
#[async_trait]
pub trait CodeLedger: Debug + Send + Sync + 'static {
    /// Remembers the code for at least `ttl`. Answers whether it was not remembered already: of several that ask,
    /// one gets `true`.
    async fn first_use(&self, code: &Digest, ttl: Duration) -> Result<bool, BackendError>;

    /// Forgets at most `limit` codes whose time is over; answers how many.
    async fn purge_codes(&self, limit: u32) -> Result<u64, BackendError>;
}

/// Keeps the sealed tokens of accounts.
#[async_trait]
pub trait TokenVault: Debug + Send + Sync + 'static {
    /// The tokens of an account.
    async fn load_tokens(&self, account: &Digest) -> Result<Option<Stored>, BackendError>;

    /// Writes if the account still has the expected version (`None`: has no tokens). Answers whether it wrote.
    async fn store_tokens_if(&self, account: &Digest, expected: Option<i64>, body: &[u8])
    -> Result<bool, BackendError>;

    /// Removes the tokens; answers whether there were any.
    async fn delete_tokens(&self, account: &Digest) -> Result<bool, BackendError>;
}

/// The places that a client works with; one store may be all three.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Logins.
    pub flows: Arc<dyn FlowStore>,
    /// Codes that were sent.
    pub codes: Arc<dyn CodeLedger>,
    /// Tokens.
    pub vault: Arc<dyn TokenVault>,
}

impl Stores {
    /// One store for everything.
    #[must_use]
    pub fn new<S: FlowStore + CodeLedger + TokenVault>(store: S) -> Self {
        let store = Arc::new(store);
        Self { flows: Arc::<S>::clone(&store), codes: Arc::<S>::clone(&store), vault: store }
    }
}
