//! The contract on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use onceward_backend::sqlx::MySqlPool;
use onceward_idempotency::MySqlStore;

async fn make() -> (MySqlStore, impl Drop) {
    let database = testkit::mysql::database().await;
    let store = MySqlStore::new(MySqlPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    (store, database)
}

onceward_idempotency::conformance!(make);
