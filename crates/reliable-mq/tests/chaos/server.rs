//! The databases.

use onceward_backend::sqlx::Postgres;
use testkit::Lent;

use crate::clock::Clock;

/// A database at a server.
pub trait Server: Clock {
    /// As `cargo xtask up` calls the server.
    const SERVICE: &'static str;

    async fn fresh() -> Lent;
}

impl Server for Postgres {
    const SERVICE: &'static str = "postgres";

    async fn fresh() -> Lent {
        testkit::postgres::database().await
    }
}

#[cfg(feature = "test-mysql")]
impl Server for onceward_backend::sqlx::MySql {
    const SERVICE: &'static str = "mariadb";

    async fn fresh() -> Lent {
        testkit::mysql::database().await
    }
}
