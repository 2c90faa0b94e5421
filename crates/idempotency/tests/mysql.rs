//! The contract on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests race tasks")]

#[path = "cases/sql.rs"]
mod cases;
#[path = "cases/trips.rs"]
mod trips;

use onceward_backend::sqlx::{MySql, MySqlPool};
use onceward_idempotency::MySqlStore;
use testkit::Lent;

async fn open() -> (MySqlStore, MySqlPool, Lent) {
    let database = testkit::mysql::database().await;
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    let store = MySqlStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, pool, database)
}

async fn make() -> (MySqlStore, Lent) {
    let (store, _, database) = open().await;
    (store, database)
}

onceward_idempotency::conformance!(make);
sql_cases!(crate::open);

#[test]
fn every_operation_costs_the_round_trips_of_the_readme() {
    onceward_backend::conformance::block_on(async {
        let database = testkit::mysql::database().await;
        trips::every_operation::<MySql>(database.url()).await;
    });
}
