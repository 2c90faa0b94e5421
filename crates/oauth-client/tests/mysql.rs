//! The store contract on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "cases/trips.rs"]
mod trips;

use onceward_backend::sqlx::{MySql, MySqlPool};
use onceward_oauth_client::store::MySqlStore;
use testkit::Lent;

async fn make() -> (MySqlStore, Lent) {
    let database = testkit::mysql::database().await;
    let store = MySqlStore::new(MySqlPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    (store, database)
}

onceward_oauth_client::conformance!(make);

#[test]
fn every_method_is_one_round_trip() {
    onceward_backend::conformance::block_on(async {
        let database = testkit::mysql::database().await;
        trips::every_method::<MySql>(database.url()).await;
    });
}
