//! The contract on SQLite.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests race tasks")]

#[path = "cases/sql.rs"]
mod cases;

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::sqlx::SqlitePool;
use onceward_backend::{KeyRing, sqlite};
use onceward_idempotency::{Fingerprint, FormTokens, Settle, Spend, SqliteStore};
use tempfile::TempDir;

async fn open() -> (SqliteStore, SqlitePool, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let pool = sqlite::open(dir.path().join("idem.db")).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, pool, dir)
}

async fn make() -> (SqliteStore, TempDir) {
    let (store, _, dir) = open().await;
    (store, dir)
}

onceward_idempotency::conformance!(make);
sql_cases!(crate::open);

#[tokio::test]
async fn tokens_and_claims_survive_a_restart_and_are_settled() {
    let dir = tempfile::tempdir().unwrap();
    let shown = Fingerprint::of("shown");
    let mut issued = Vec::new();
    for start in 0..3 {
        // A new pool, and a key ring with the same key: what a restarted process has.
        let pool = sqlite::open(dir.path().join("idem.db")).await.unwrap();
        let store = SqliteStore::new(pool.clone());
        store.migrate().await.unwrap();
        let tokens = FormTokens::new(Arc::new(store), KeyRing::new(1, [7; 32]));
        let running = tokens.running(Duration::ZERO, 100).await.unwrap();
        match start {
            0 => {
                assert!(running.is_empty());
                for _ in 0..4 {
                    issued.push(tokens.issue("alice", &shown).await.unwrap());
                }
                for token in &issued[..3] {
                    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown).await.unwrap() else {
                        panic!()
                    };
                    // The process dies while it holds the claim.
                    drop(claim);
                }
            }
            1 => {
                assert_eq!(running.len(), 3);
                for found in &running {
                    let done = found.claim.id() == issued[0].id();
                    let how = if done { Settle::Complete(b"order 0".to_vec()) } else { Settle::Release };
                    assert!(tokens.settle(&found.claim, how).await.unwrap());
                }
            }
            _ => {
                assert!(running.is_empty());
                let first = tokens.spend("alice", issued[0].as_str(), &shown).await.unwrap();
                assert!(matches!(first, Spend::AlreadySpent { result } if result == b"order 0"));
                for token in &issued[1..] {
                    let again = tokens.spend("alice", token.as_str(), &shown).await.unwrap();
                    assert!(matches!(again, Spend::Accepted(claim) if !claim.is_takeover()));
                }
            }
        }
        pool.close().await;
    }
}
