#![doc = include_str!("../README.md")]

pub mod error;
mod keyring;
mod mark;
mod retry;
mod worker;

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "redis")]
mod redis_client;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use error::{BackendError, ErrorClass};
pub use keyring::KeyRing;
pub use retry::RetryPolicy;

#[cfg(feature = "redis")]
pub use redis;
#[cfg(feature = "redis")]
pub use redis_client::{Redis, RedisScript};
#[cfg(feature = "sql")]
pub use sql::{Conn, Db, Dialect, Hold, Migrations};
#[cfg(feature = "sql")]
pub use sqlx;

/// What the crates of this workspace share and nobody else should build on: it may change in any release.
#[doc(hidden)]
pub mod internal {
    /// Under the programs for operators.
    #[cfg(feature = "cli")]
    pub mod cli {
        #[cfg(feature = "sqlite")]
        pub use crate::cli::file;
        pub use crate::cli::{
            Answer, Built, Options, Place, Problem, Table, chain, connect, finish, misused, options, plain, span,
        };
    }
    pub use crate::error::chain;
    pub use crate::mark::mark;
    #[cfg(feature = "failpoints")]
    pub use crate::mark::set_mark_hook;
    pub use crate::retry::random_unit;
    #[cfg(feature = "sql")]
    pub use crate::sql::{Column, Columns, Sql, Statement, Value, begin, begin_by, commit};
    pub use crate::worker::{Progress, work};
}
