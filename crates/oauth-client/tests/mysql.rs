//! The store contract on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test program")]

use onceward_backend::sqlx::MySqlPool;
use onceward_oauth_client::store::MySqlStore;
use testkit::mysql::Database;

async fn make() -> (MySqlStore, Database) {
    let database = testkit::mysql::database().await;
    let store = MySqlStore::new(MySqlPool::connect(database.url()).await.unwrap());
    store.migrate().await.unwrap();
    (store, database)
}

onceward_oauth_client::conformance!(make);
