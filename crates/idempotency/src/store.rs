//! What a store does: one method per atomic operation.

mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;
mod types;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

pub use memory::MemoryStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "mysql")]
pub use sql::MySqlStore;
#[cfg(feature = "postgres")]
pub use sql::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sql::SqliteStore;
#[cfg(feature = "sql")]
pub use sql::{MIGRATIONS, SqlStore};
pub use types::{
    Capabilities, ClaimRef, Consume, ContentAnswer, ContentClaim, ContentKey, ContentSlot, NewToken, RunningClaim,
    SpendToken, TokenAnswer, TokenKey,
};

use crate::Error;

/// The largest result that a token keeps.
pub const MAX_RESULT: usize = 64 * 1024;

/// Where form tokens live.
///
/// Every method is one atomic step. All but the two `bare` ones may be repeated with the same arguments and mean the same,
/// because a claim is known by its [`Owner`](crate::Owner). Leases and lives are measured by the store's own clock.
#[async_trait]
pub trait TokenStore: Debug + Send + Sync + 'static {
    /// What this store can do; the conformance suite tests that much.
    fn capabilities(&self) -> Capabilities;

    /// Stores a new token as issued; leaves one with the same id as it is. With [`latest`](NewToken::latest) it becomes the one that counts for its user and
    /// purpose: an older one that is still issued is superseded, one that was claimed is left alone.
    async fn issue(&self, token: &NewToken) -> Result<(), Error>;

    /// Claims a token, or says why not, as [`Record::judge`](crate::Record::judge) has it.
    async fn spend(&self, ask: &SpendToken) -> Result<TokenAnswer, Error>;

    /// Starts the lease of a claim anew. False if the owner does not hold it.
    async fn renew(&self, claim: &ClaimRef, lease: Duration) -> Result<bool, Error>;

    /// Ends a claim as done and keeps the result for `retention`. False if the owner does not hold it; true if it was
    /// completed before with the same result.
    async fn complete(&self, claim: &ClaimRef, result: &[u8], retention: Duration) -> Result<bool, Error>;

    /// Puts a claimed token back to issued with what is left of its life, after which its record stays for `tombstone`.
    /// False if the owner does not hold it; true if it was released before and not claimed since.
    async fn release(&self, claim: &ClaimRef, tombstone: Duration) -> Result<bool, Error>;

    /// Claims of one purpose that are neither completed nor released and are at least this old, abandoned ones included.
    async fn running(&self, purpose: &str, older_than: Duration, limit: usize) -> Result<Vec<RunningClaim>, Error>;

    /// Puts `value` under exactly the key `key` for `ttl`, over what was there.
    async fn issue_bare(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error>;

    /// Deletes `key` if it holds exactly `value`. Must not be repeated after an unknown outcome: it cannot tell its own
    /// earlier success from an absent key.
    async fn consume_bare(&self, key: &str, value: &str) -> Result<Consume, Error>;

    /// Fails if the store cannot be used now.
    async fn health(&self) -> Result<(), Error>;
}

/// Where the digests of contents live.
///
/// As with [`TokenStore`], each method is one atomic step and may be repeated.
#[async_trait]
pub trait DedupStore: Debug + Send + Sync + 'static {
    /// What this store can do; the conformance suite tests that much.
    fn capabilities(&self) -> Capabilities;

    /// Claims a content, or marks it as done at once ([`mark`](ContentSlot::mark)), or says why not.
    ///
    /// With a second digest in the key, a live record under the same first digest and another second one is a collision:
    /// the content then lives in a slot of its own, named by both digests, and never falls back to the first one while
    /// that slot lives.
    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error>;

    /// Starts the lease of a claim anew. False if the owner does not hold it.
    async fn renew(&self, claim: &ContentClaim, lease: Duration) -> Result<bool, Error>;

    /// Ends a claim as done, remembered for `retention`. False if the owner does not hold it; true if it was completed
    /// before.
    async fn complete(&self, claim: &ContentClaim, retention: Duration) -> Result<bool, Error>;

    /// Forgets a claimed content, so that the next time counts as the first. False if another owner holds it.
    async fn release(&self, claim: &ContentClaim) -> Result<bool, Error>;

    /// Fails if the store cannot be used now.
    async fn health(&self) -> Result<(), Error>;
}
