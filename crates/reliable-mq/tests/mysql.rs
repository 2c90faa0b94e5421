//! The contracts on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "cases/sql.rs"]
#[macro_use]
mod cases;

use std::sync::Arc;

use onceward_backend::sqlx::{MySql, Pool};
use onceward_reliable_mq::{Outbox, Store};
use testkit::mysql::Database;

async fn outbox() -> (Outbox<MySql>, Database) {
    let database = testkit::mysql::database().await;
    let outbox = Outbox::<MySql>::new(Pool::connect(database.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox.migrate().await.unwrap();
    (outbox, database)
}

async fn make() -> (Arc<dyn Store>, Database) {
    let (outbox, database) = outbox().await;
    (outbox.store(), database)
}

onceward_reliable_mq::conformance!(store: make);
sql_cases!(outbox);
