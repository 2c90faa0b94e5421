//! The contract, on carts in MariaDB.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "these are tests: a panic is the report")]

#[path = "cases/trips.rs"]
mod trips;

use onceward_backend::sqlx::{MySql, MySqlPool};
use onceward_cart_store::conformance::Fixture;
use onceward_cart_store::store::MySqlStore;

onceward_cart_store::conformance!(async || {
    let database = testkit::mysql::database().await;
    let store = MySqlStore::new(MySqlPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    Fixture::new(store).with_guard(database)
});

#[test]
fn every_operation_costs_the_round_trips_of_the_readme() {
    onceward_backend::conformance::block_on(async {
        let database = testkit::mysql::database().await;
        trips::every_operation::<MySql>(database.url()).await;
    });
}
