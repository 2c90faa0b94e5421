//! A process is killed while it spends a token, and another one goes on with what it left.
//!
//! The child is this test program itself, asked for one test by name and told by the environment to play its part.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests read the environment and block on purpose")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onceward_backend::internal::set_mark_hook;
use onceward_backend::sqlx::SqlitePool;
use onceward_backend::{KeyRing, sqlite};
use onceward_idempotency::{Fingerprint, FormTokens, Settle, Spend, SqliteStore, TokenConfig};
use testkit::Child;

const FOLDER: &str = "ONCEWARD_IDEMPOTENCY_FOLDER";
const STOP: &str = "ONCEWARD_IDEMPOTENCY_STOP";
const TOKEN: &str = "ONCEWARD_IDEMPOTENCY_TOKEN";
const LIMIT: Duration = Duration::from_secs(30);

async fn open(folder: &Path, lease: Duration) -> (FormTokens, SqlitePool) {
    let pool = sqlite::open(folder.join("idem.db")).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    let create = "create table if not exists orders (token text primary key)";
    onceward_backend::sqlx::query(create).execute(&pool).await.unwrap();
    let config = TokenConfig::default().with_lease(lease);
    (FormTokens::new(Arc::new(store), KeyRing::new(1, [7; 32])).with_config(config).unwrap(), pool)
}

fn shown() -> Fingerprint {
    Fingerprint::of("shown")
}

async fn order(pool: &SqlitePool, claim: &onceward_idempotency::Claim) {
    let insert = onceward_backend::sqlx::query("insert into orders (token) values (?) on conflict do nothing");
    insert.bind(claim.id().to_string()).execute(pool).await.unwrap();
}

async fn orders(pool: &SqlitePool) -> i64 {
    onceward_backend::sqlx::query_scalar("select count(*) from orders").fetch_one(pool).await.unwrap()
}

/// The part of the process that is killed; by itself it does nothing.
#[tokio::test]
async fn a_child_that_spends_a_token() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    set_mark_hook(|name| {
        if std::env::var(STOP).is_ok_and(|stop| stop == name) {
            // The test runner has begun the line.
            println!("\nmark {name}");
            std::thread::sleep(LIMIT);
        }
    });
    let (tokens, pool) = open(Path::new(&folder), LIMIT).await;
    let token = std::env::var(TOKEN).unwrap();
    let Spend::Accepted(claim) = tokens.spend("alice", &token, &shown()).await.unwrap() else { panic!() };
    order(&pool, &claim).await;
    onceward_backend::internal::mark("test.ordered");
    claim.complete("order").await.unwrap();
    panic!("nobody killed this process");
}

/// Kills a child at the mark, and gives what it left behind to a new process with the child's token.
async fn killed_at(mark: &str, lease: Duration) -> (FormTokens, SqlitePool, String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (tokens, pool) = open(dir.path(), lease).await;
    let token = tokens.issue("alice", &shown()).await.unwrap().into_string();
    let mut child = Child::of(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_that_spends_a_token", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir.path().to_str().unwrap())
        .env(STOP, mark)
        .env(TOKEN, &token)
        .start();
    child.wait_for_mark(mark, LIMIT).await;
    child.kill();
    (tokens, pool, token, dir)
}

#[tokio::test]
async fn a_process_that_dies_before_its_work_loses_no_order() {
    let (tokens, pool, token, _dir) = killed_at("idempotency.token_claimed", LIMIT).await;
    assert!(matches!(tokens.spend("alice", &token, &shown()).await.unwrap(), Spend::InFlight { .. }));
    let [found] = tokens.running(Duration::ZERO, 10).await.unwrap().try_into().unwrap();
    assert_eq!(orders(&pool).await, 0);
    assert!(tokens.settle(&found.claim, Settle::Release).await.unwrap());
    let Spend::Accepted(claim) = tokens.spend("alice", &token, &shown()).await.unwrap() else { panic!() };
    order(&pool, &claim).await;
    claim.complete("order").await.unwrap();
    assert_eq!(orders(&pool).await, 1);
}

#[tokio::test]
async fn a_process_that_dies_after_its_work_makes_no_second_order() {
    let (tokens, pool, token, _dir) = killed_at("test.ordered", LIMIT).await;
    assert_eq!(orders(&pool).await, 1);
    let [found] = tokens.running(Duration::ZERO, 10).await.unwrap().try_into().unwrap();
    assert_eq!(tokens.open("alice", &token), Some(found.claim.id()));
    assert!(tokens.settle(&found.claim, Settle::Complete(b"order".to_vec())).await.unwrap());
    let again = tokens.spend("alice", &token, &shown()).await.unwrap();
    assert!(matches!(again, Spend::AlreadySpent { result } if result == b"order"));
}

#[tokio::test]
async fn a_process_that_dies_after_it_completed_has_completed() {
    let (tokens, pool, token, _dir) = killed_at("idempotency.token_completed", LIMIT).await;
    assert!(tokens.running(Duration::ZERO, 10).await.unwrap().is_empty());
    let again = tokens.spend("alice", &token, &shown()).await.unwrap();
    assert!(matches!(again, Spend::AlreadySpent { result } if result == b"order"));
    assert_eq!(orders(&pool).await, 1);
}
