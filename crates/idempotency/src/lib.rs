#![doc = include_str!("../README.md")]

mod dedup;
mod digest;
mod error;
mod key;
mod record;
mod repeat;
mod store;
mod token;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use async_trait::async_trait;
pub use dedup::{Dedup, DedupConfig, FirstTime, Marked, Work};
pub use digest::{DigestKind, Fingerprint};
pub use error::Error;
pub use key::{Owner, TokenId};
pub use record::{Record, State, Verdict};
pub use store::{
    Capabilities, ClaimRef, Consume, ContentAnswer, ContentClaim, ContentKey, ContentSlot, DedupStore, MAX_RESULT,
    MemoryStore, NewToken, RunningClaim, SpendToken, TokenAnswer, TokenKey, TokenStore,
};
pub use token::{Claim, FormToken, FormTokens, Settle, Spend, TokenConfig, TokenMode};

#[cfg(feature = "mysql")]
pub use store::MySqlStore;
#[cfg(feature = "postgres")]
pub use store::PostgresStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
#[cfg(feature = "sql")]
pub use store::{MIGRATIONS, SqlStore};
