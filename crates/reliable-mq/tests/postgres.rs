//! The contract of stores on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test program")]

use std::sync::Arc;

use onceward_backend::sqlx::{Pool, Postgres};
use onceward_reliable_mq::{Outbox, Store};
use testkit::postgres::Database;

async fn make() -> (Arc<dyn Store>, Database) {
    let database = testkit::postgres::database().await;
    let outbox = Outbox::<Postgres>::new(Pool::connect(database.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox.migrate().await.unwrap();
    (outbox.store(), database)
}

onceward_reliable_mq::conformance!(store: make);
