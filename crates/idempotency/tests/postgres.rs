//! The contract on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests race tasks")]

#[path = "cases/sql.rs"]
mod cases;

use onceward_backend::sqlx::PgPool;
use onceward_idempotency::PostgresStore;
use testkit::postgres::Database;

async fn open() -> (PostgresStore, PgPool, Database) {
    let database = testkit::postgres::database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, pool, database)
}

async fn make() -> (PostgresStore, Database) {
    let (store, _, database) = open().await;
    (store, database)
}

onceward_idempotency::conformance!(make);
sql_cases!(crate::open);
