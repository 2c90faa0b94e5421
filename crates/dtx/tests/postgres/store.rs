//! The coordinator's store on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use onceward_dtx::tc::lock::LockKey;
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
async fn free_rows_come_by_a_place_in_the_queue() {
    let database = testkit::postgres::database().await;
    let counted = CountedPool::<Postgres>::connect(database.url()).await;
    let store = SqlStore::new(counted.pool().clone()).await.unwrap();
    let coordinator = Tc::new(Arc::new(store), TcOptions::default());
    let xid = coordinator.begin("counted", Duration::from_secs(60)).await.unwrap();
    let take = async |rows: std::ops::Range<usize>| {
        let key = |n: usize| LockKey { resource_id: "r".to_owned(), table: "t".to_owned(), key: n.to_string() };
        let locks: Vec<_> = rows.map(key).collect();
        assert!(coordinator.wait_for_locks(&xid, &locks, Duration::from_secs(60)).await.unwrap());
        assert!(coordinator.holds(&xid, &locks).await.unwrap());
    };
    // The statements are prepared.
    take(0..1).await;
    assert_eq!(counted.trips(take(1..2)).await.1, 15);
    assert_eq!(counted.trips(take(2..5)).await.1, 15 + 2 * 2, "two for each further row");
}
