//! The store contract on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "cases/trips.rs"]
mod trips;

use onceward_backend::sqlx::{PgPool, Postgres};
use onceward_oauth_client::store::PostgresStore;
use testkit::Lent;

async fn make() -> (PostgresStore, Lent) {
    let database = testkit::postgres::database().await;
    let store = PostgresStore::new(PgPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    (store, database)
}

onceward_oauth_client::conformance!(make);

#[test]
fn every_method_is_one_round_trip() {
    onceward_backend::conformance::block_on(async {
        let database = testkit::postgres::database().await;
        trips::every_method::<Postgres>(database.url()).await;
    });
}
