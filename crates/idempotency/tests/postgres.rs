//! The contract on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use onceward_backend::sqlx::PgPool;
use onceward_idempotency::PostgresStore;

async fn make() -> (PostgresStore, impl Drop) {
    let database = testkit::postgres::database().await;
    let store = PostgresStore::new(PgPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    (store, database)
}

onceward_idempotency::conformance!(make);
