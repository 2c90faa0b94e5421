//! The coordinator's store on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests say what they expect by unwrapping")]

use onceward_dtx::SqlStore;
use sqlx::{MySql, MySqlPool};
use testkit::Lent;

async fn make() -> (SqlStore<MySql>, Lent) {
    let database = testkit::mysql::database().await;
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    (SqlStore::new(pool).await.unwrap(), database)
}

onceward_dtx::conformance!(make);
