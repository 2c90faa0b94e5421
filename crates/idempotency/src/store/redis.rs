//! Records in Redis: one script, hence one round trip, per method.

mod contents;
mod scripts;
mod tokens;

use std::fmt;

use onceward_backend::redis::{Cmd, cmd};
use onceward_backend::{BackendError, Redis};

use crate::Error;
use crate::record::codec::millis;

/// A store in Redis, tested on 7.0. Cheap to clone.
///
/// Keys, after the prefix of the [`Redis`] handle:
///
/// | key | holds |
/// |---|---|
/// | `idem:t:{H}:ID` | the record of token `ID`; `H` is a digest of purpose and user |
/// | `idem:t:{H}:latest` | the id of the user's newest token |
/// | `idem:c:{SCOPE:DIGEST:HEX}` | the record of a content, e.g. `idem:c:{invoices:md5:900150…}` |
/// | `idem:c:{SCOPE:DIGEST:HEX}+HEX2` | that of another content with the same first digest |
/// | `PREFIX` + user, **without** the handle's prefix | a bare UUID, in the literal mode |
///
/// Every key has a time to live. That of a claim is its lease and a tail during which it is known as abandoned; the tail
/// is written in the record, so contenders with other settings judge alike.
///
/// What Redis forgets (a failover, a restart without persistence, an eviction) is unknown again, so a token is refused
/// rather than spent twice, but a content may be processed twice. Where that must not be, let a unique column in a
/// database decide and Redis only spare it the work. Use `maxmemory-policy noeviction`.
#[derive(Clone)]
pub struct RedisStore {
    redis: Redis,
}

impl RedisStore {
    /// A store on this server.
    pub const fn new(redis: Redis) -> Self {
        Self { redis }
    }

    async fn ping(&self) -> Result<(), Error> {
        self.redis.command::<String>(&cmd("PING")).await?;
        Ok(())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

/// What the scripts answer: a code, two numbers whose meaning depends on it, and bytes.
type Reply = (String, u64, u64, Vec<u8>);

fn unreadable() -> Error {
    BackendError::corrupt("redis", "a record or an answer that this version does not know").into()
}

/// `SET` with a time to live of at least a millisecond.
fn set(key: &str, value: &[u8], ttl: std::time::Duration) -> Cmd {
    let mut set = cmd("SET");
    set.arg(key).arg(value).arg("PX").arg(millis(ttl).max(1));
    set
}

/// A number as a script takes it.
fn number(duration: std::time::Duration) -> Vec<u8> {
    millis(duration).to_string().into_bytes()
}
