//! The contract on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests race tasks")]

#[path = "cases/sql.rs"]
mod cases;
#[path = "cases/trips.rs"]
mod trips;

use onceward_backend::sqlx::{PgPool, Postgres};
use onceward_idempotency::PostgresStore;
use testkit::Lent;

async fn open() -> (PostgresStore, PgPool, Lent) {
    let database = testkit::postgres::database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, pool, database)
}

async fn make() -> (PostgresStore, Lent) {
    let (store, _, database) = open().await;
    (store, database)
}

onceward_idempotency::conformance!(make);
sql_cases!(crate::open);

#[test]
fn every_operation_costs_the_round_trips_of_the_readme() {
    onceward_backend::conformance::block_on(async {
        let database = testkit::postgres::database().await;
        trips::every_operation::<Postgres>(database.url()).await;
    });
}
