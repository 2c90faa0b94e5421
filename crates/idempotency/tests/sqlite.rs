//! The contract on SQLite.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use onceward_backend::sqlite;
use onceward_idempotency::SqliteStore;
use tempfile::TempDir;

async fn make() -> (SqliteStore, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(sqlite::open(dir.path().join("idem.db")).await.unwrap());
    store.migrate().await.unwrap();
    (store, dir)
}

onceward_idempotency::conformance!(make);
