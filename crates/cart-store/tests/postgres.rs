//! The contract, on carts in PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "these are tests: a panic is the report")]

#[path = "cases/trips.rs"]
mod trips;

use onceward_backend::sqlx::{PgPool, Postgres};
use onceward_cart_store::conformance::Fixture;
use onceward_cart_store::store::PostgresStore;

onceward_cart_store::conformance!(async || {
    let database = testkit::postgres::database().await;
    let store = PostgresStore::new(PgPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    Fixture::new(store).with_guard(database)
});

#[test]
fn every_operation_costs_the_round_trips_of_the_readme() {
    onceward_backend::conformance::block_on(async {
        let database = testkit::postgres::database().await;
        trips::every_operation::<Postgres>(database.url()).await;
    });
}
