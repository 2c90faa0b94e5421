//! The store contract on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test program")]

use onceward_backend::sqlx::PgPool;
use onceward_oauth_client::store::PostgresStore;
use testkit::postgres::Database;

async fn make() -> (PostgresStore, Database) {
    let database = testkit::postgres::database().await;
    let store = PostgresStore::new(PgPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    (store, database)
}

onceward_oauth_client::conformance!(make);
