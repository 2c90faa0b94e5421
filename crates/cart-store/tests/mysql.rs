//! The contract, on carts in MariaDB.
#![allow(clippy::unwrap_used, missing_docs, reason = "these are tests: a panic is the report")]

use onceward_backend::sqlx::MySqlPool;
use onceward_cart_store::conformance::Fixture;
use onceward_cart_store::store::MySqlStore;

onceward_cart_store::conformance!(async || {
    let database = testkit::mysql::database().await;
    let store = MySqlStore::new(MySqlPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    Fixture::new(store).with_guard(database)
});
