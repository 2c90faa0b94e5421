//! The store contract on SQLite, each case on a database file of its own, and what a file must do beside.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test program")]

use std::{path::Path, time::Duration};

use onceward_backend::{conformance::block_on, sqlite};
use onceward_oauth_client::{CodeLedger, Digest, FlowStore, TokenVault, store::SqliteStore};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

async fn open(path: &Path) -> SqliteStore {
    let store = SqliteStore::new(sqlite::open(path).await.unwrap());
    store.migrate().await.unwrap();
    store
}

async fn make() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(&folder.path().join("oauth.db")).await, folder)
}

onceward_oauth_client::conformance!(make);

#[test]
fn everything_survives_a_reopen() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oauth.db");
        let (flow, code, account) = (Digest::of("t", &[b"1"]), Digest::of("t", &[b"2"]), Digest::of("t", &[b"3"]));
        {
            let store = open(&path).await;
            assert!(store.insert(&flow, b"flow", LONG).await.unwrap());
            assert!(store.first_use(&code, LONG).await.unwrap());
            assert!(store.store_tokens_if(&account, None, b"tokens").await.unwrap());
        }
        let store = open(&path).await;
        assert_eq!(store.load(&flow).await.unwrap().unwrap().body, b"flow");
        assert!(!store.first_use(&code, LONG).await.unwrap());
        assert_eq!(store.load_tokens(&account).await.unwrap().unwrap().body, b"tokens");
        assert!(store.replace(&flow, 1, b"next", LONG).await.unwrap());
    });
}

#[test]
fn a_pool_of_one_connection_is_enough() {
    block_on(async {
        let store = SqliteStore::new(sqlite::memory().await.unwrap());
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        let id = Digest::of("t", &[b"1"]);
        assert!(store.insert(&id, b"a", LONG).await.unwrap());
        assert!(store.replace(&id, 1, b"b", LONG).await.unwrap());
        assert_eq!(store.load(&id).await.unwrap().unwrap().version, 2);
    });
}
