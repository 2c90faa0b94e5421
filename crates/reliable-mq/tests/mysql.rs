//! The contract of stores on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test program")]

use std::sync::Arc;

use onceward_backend::sqlx::{MySql, Pool};
use onceward_reliable_mq::{Outbox, Store};
use testkit::mysql::Database;

async fn make() -> (Arc<dyn Store>, Database) {
    let database = testkit::mysql::database().await;
    let outbox = Outbox::<MySql>::new(Pool::connect(database.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox.migrate().await.unwrap();
    (outbox.store(), database)
}

onceward_reliable_mq::conformance!(store: make);
