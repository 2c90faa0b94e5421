//! The contract, on carts in PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "these are tests: a panic is the report")]

use onceward_backend::sqlx::PgPool;
use onceward_cart_store::conformance::Fixture;
use onceward_cart_store::store::PostgresStore;

onceward_cart_store::conformance!(async || {
    let database = testkit::postgres::database().await;
    let store = PostgresStore::new(PgPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    Fixture::new(store).with_guard(database)
});
