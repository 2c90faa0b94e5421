//! The only clock is that of the database: what a session takes for its time of day changes nothing.

use std::time::Duration;

use onceward_dtx::tc::store::{Shift, TcStore};
use onceward_dtx::{SqlStore, TransactionFilter};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, Postgres};

use crate::disk::Disk;

const MINUTE: Duration = Duration::from_secs(60);

/// A coordinator's store whose sessions are elsewhere.
async fn elsewhere(disk: &Disk, zone: &str) -> SqlStore<Postgres> {
    // The driver itself asks for UTC as it connects.
    let set = format!("set timezone = '{zone}'; set datestyle = 'postgres, dmy'");
    let options = PgPoolOptions::new().max_connections(2).after_connect(move |conn, _| {
        let set = AssertSqlSafe(set.clone());
        Box::pin(async move { conn.execute(set).await.map(drop) })
    });
    let pool = options.connect(&disk.url("tc").await).await.unwrap();
    let seen: String = sqlx::query_scalar("show timezone").fetch_one(&pool).await.unwrap();
    assert_eq!(seen, zone);
    SqlStore::new(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_in_other_time_zones_agree_on_deadlines_ages_and_leases() {
    let disk = Disk::new().await;
    let east = elsewhere(&disk, "Pacific/Kiritimati").await;
    let west = elsewhere(&disk, "Pacific/Niue").await;
    let due = async |store: &SqlStore<Postgres>| {
        let shift = Shift { limit: 10, claim: Duration::ZERO, longest: MINUTE, resources: None };
        store.due(&shift).await.unwrap().into_iter().map(|due| due.xid).collect::<Vec<_>>()
    };
    // 25 hours apart, by their walls.
    for (one, other, name) in [(&east, &west, "east"), (&west, &east, "west")] {
        one.begin(&format!("{name}-long"), "t", MINUTE).await.unwrap();
        one.begin(&format!("{name}-short"), "t", Duration::from_millis(1)).await.unwrap();
        testkit::eventually(Duration::from_secs(10), async || match due(other).await {
            due if due == [format!("{name}-short")] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        let shown = other.transactions(&TransactionFilter::default()).await.unwrap();
        assert!(shown.iter().all(|transaction| transaction.age < MINUTE), "{shown:?}");
        one.decide(&format!("{name}-short"), onceward_dtx::tc::state::Decision::Commit, Duration::ZERO).await.unwrap();
        one.beat(name, MINUTE).await.unwrap();
        let orphans = other.orphans(10).await.unwrap();
        assert!(orphans.iter().all(|due| !due.xid.starts_with(name)), "it has said that it lives: {orphans:?}");
        // What is over is kept for as long as was said, there too.
        assert_eq!(other.purge(MINUTE).await.unwrap(), 0);
    }
}
