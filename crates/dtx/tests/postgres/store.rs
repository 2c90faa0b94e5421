//! The coordinator's store on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::tc::state::Decision;
use onceward_dtx::tc::store::{NewWaiter, Registration, TcStore};
use onceward_dtx::tc::turn::Answer;
use onceward_dtx::{Coordinator, GlobalStatus, NewBranch, SqlStore, Tc, TcOptions};
use sqlx::{PgPool, Postgres};
use testkit::{CountedPool, Lent};

async fn make() -> (SqlStore<Postgres>, Lent) {
    let database = testkit::postgres::database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    (SqlStore::new(pool).await.unwrap(), database)
}

onceward_dtx::conformance!(make);

/// Whole transactions of one branch and one row, by that many callers at once, as statements on the wire.
async fn trips(callers: usize) -> u64 {
    let database = testkit::postgres::database().await;
    let counted = CountedPool::<Postgres>::connect(database.url()).await;
    let store = SqlStore::new(counted.pool().clone()).await.unwrap();
    let coordinator = Tc::new(Arc::new(store), TcOptions::default());
    let transaction = async |caller: usize| {
        let xid = coordinator.begin("counted", Duration::from_secs(60)).await.unwrap();
        let (resource_id, table, key) = ("r".to_owned(), "t".to_owned(), caller.to_string());
        let locks = vec![LockKey { resource_id: resource_id.clone(), table, key }];
        coordinator.register(&NewBranch { xid: xid.clone(), branch_id: 1, resource_id, locks }).await.unwrap();
        assert_eq!(coordinator.commit(&xid).await.unwrap(), GlobalStatus::Committing);
    };
    // The statements are prepared.
    transaction(usize::MAX).await;
    let all = async { join_all((0..callers).map(transaction)).await };
    counted.trips(all).await.1
}

#[tokio::test]
async fn a_transaction_is_three_statements_and_many_share_them() {
    assert_eq!(trips(1).await, 3);
    // The first of each kind goes alone, and those that came meanwhile go together.
    let many = trips(40).await;
    assert!(many <= 12, "{many} trips for 40 transactions");
}

/// Free rows that are asked for before a branch, as statements on the wire.
#[tokio::test]
async fn free_rows_are_taken_one_by_one_in_one_transaction() {
    let database = testkit::postgres::database().await;
    let counted = CountedPool::<Postgres>::connect(database.url()).await;
    let store = SqlStore::new(counted.pool().clone()).await.unwrap();
    let coordinator = Tc::new(Arc::new(store), TcOptions::default());
    let xid = coordinator.begin("counted", Duration::from_secs(60)).await.unwrap();
    let take = async |rows: std::ops::Range<usize>| {
        let key = |n: usize| LockKey { resource_id: "r".to_owned(), table: "t".to_owned(), key: n.to_string() };
        let locks: Vec<_> = rows.map(key).collect();
        coordinator.take_locks(&xid, &locks).await.unwrap();
    };
    // The statements are prepared.
    take(0..1).await;
    assert_eq!(counted.trips(take(1..2)).await.1, 5, "begin, the transaction, the queue, the row, commit");
    assert_eq!(counted.trips(take(2..5)).await.1, 5 + 2, "one for each further row");
}

/// One connection has decided a waiter's transaction and not committed yet, while another serves the queue: the row of the
/// transaction makes the second wait for the first.
#[tokio::test]
async fn a_waiter_that_is_decided_while_the_queue_is_served_is_given_nothing() {
    let database = testkit::postgres::database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let store = SqlStore::new(pool.clone()).await.unwrap();
    let minute = Duration::from_secs(60);
    for xid in ["holder", "waiter"] {
        store.begin(xid, "t", minute).await.unwrap();
    }
    let [resource_id, table, key] = ["r", "t", "1"].map(str::to_owned);
    let locks = vec![LockKey { resource_id: resource_id.clone(), table, key }];
    let holds = NewBranch { xid: "holder".to_owned(), branch_id: 1, resource_id, locks: locks.clone() };
    assert_eq!(store.register(&holds).await.unwrap(), Registration::Registered);
    let [waiter, xid, owner] = ["w", "waiter", "o"].map(str::to_owned);
    assert!(store.enqueue(&NewWaiter { waiter, xid, owner, locks, patience: minute }).await.unwrap().is_empty());
    assert!(store.decide("holder", Decision::Commit, Duration::ZERO).await.unwrap().unwrap().wanted);
    let mut decision = pool.begin().await.unwrap();
    let decide = "update dtx_global set status = $1, ended = 1 where xid = 'waiter' and status = 1";
    sqlx::query(decide).bind(GlobalStatus::Committed.code()).execute(&mut *decision).await.unwrap();
    let serving = tokio::spawn({
        let store = store.clone();
        async move { store.serve("o").await }
    });
    testkit::eventually(Duration::from_secs(20), async || {
        assert!(!serving.is_finished(), "served past a decision that it could not see");
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        match sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() {
            0 => Err("nobody waits"),
            _ => Ok(()),
        }
    })
    .await;
    decision.commit().await.unwrap();
    assert_eq!(serving.await.unwrap().unwrap(), [("w".to_owned(), Answer::Ended)]);
    assert!(store.locks().await.unwrap().is_empty(), "nobody is left to give it up");
}
