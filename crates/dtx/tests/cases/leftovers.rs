//! What has ended leaves nothing behind, in any table.

use std::time::Duration;

use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::{DtxError, DtxOptions, NewBranch, Options};
use sqlx::{AssertSqlSafe, Pool};
use tokio::sync::{Barrier, Notify};

use crate::disk::Db;
use crate::world::{World, add};

async fn count(pool: &Pool<Db>, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_keeps_a_row_of_what_has_ended() {
    let world = World::new().await;
    let worker = world.worker();
    let all = async |fails: bool| {
        let run = async |_| {
            for at in &world.at {
                add(at, 1).await?;
                add(at, 1).await?;
            }
            if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
        };
        world.dtx.run(Options::new("all"), run).await
    };
    all(false).await.unwrap();
    assert!(all(true).await.is_err());
    // A circle, whose victim is rolled back and whose other one has waited.
    let both = Barrier::new(2);
    let cross = async |first: usize, second: usize| {
        let run = async |_| {
            add(&world.at[first], 1).await?;
            both.wait().await;
            add(&world.at[second], 1).await
        };
        world.dtx.run(Options::new("cross"), run).await
    };
    let (one, other) = tokio::join!(cross(0, 1), cross(1, 0));
    assert_ne!(one.is_ok(), other.is_ok());
    // Dropped with a branch, and dropped while it waits.
    let locked = Notify::new();
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        world.waiting(1).await;
        std::future::pending::<Result<(), DtxError>>().await
    });
    let waiter = async {
        locked.notified().await;
        world.dtx.run(Options::new("waiter"), async |_| add(&world.at[0], 1).await).await
    };
    tokio::select! {
        answer = holder => panic!("{answer:?}"),
        answer = waiter => panic!("{answer:?}"),
        () = async { world.waiting(1).await; } => {}
    }
    // Past its deadline.
    let late = world.dtx.run(Options::new("late").with_timeout(Duration::from_millis(100)), async |_| {
        add(&world.at[1], 1).await?;
        world.quiet().await;
        Ok::<_, DtxError>(())
    });
    assert!(late.await.is_err());
    world.quiet().await;
    world.waiting(0).await;
    drop(worker);
    for at in &world.at {
        for table in ["undo_log", "dtx_undo_part", "dtx_parked", "dtx_repair", "dtx_bypass"] {
            assert_eq!(count(at.pool(), table).await, 0, "{table} of {}", at.resource_id());
        }
    }
    let coordinator = world.disk.pool("tc").await;
    for table in ["dtx_branch", "dtx_lock", "dtx_wait", "dtx_global where status not in (9, 11)"] {
        assert_eq!(count(&coordinator, table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guards_go_by_themselves_once_they_are_old() {
    let guarded = async |retention: Duration| {
        let world = World::told(DtxOptions::default().with_guard_retention(retention)).await;
        let xid = world.dtx.coordinator().begin("never came", Duration::from_secs(60)).await.unwrap();
        let resource_id = "orders".to_owned();
        let branch = NewBranch { xid, branch_id: 7, resource_id, locks: Vec::new() };
        world.dtx.coordinator().register(&branch).await.unwrap();
        world.dtx.recover().await.unwrap();
        assert_eq!(count(world.at[0].pool(), "undo_log").await, 1, "a guard");
        world
    };
    let (old, young) = (guarded(Duration::ZERO).await, guarded(Duration::from_secs(60)).await);
    // A clock that counts milliseconds must have gone on.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let _workers = (old.worker(), young.worker());
    testkit::eventually(Duration::from_secs(10), async || match count(old.at[0].pool(), "undo_log").await {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
    // Its worker looks as it starts, too: what it has done by then, it has done before it decides this one.
    let done = young.dtx.begin(Options::new("dropped")).await.unwrap();
    drop(done);
    young.quiet().await;
    assert_eq!(count(young.at[0].pool(), "undo_log").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_owner_nobody_knows_is_shown_and_keeps_its_row() {
    let world = World::new().await;
    let key = LockKey { resource_id: "orders".to_owned(), table: "account".to_owned(), key: "1".to_owned() };
    let insert = "insert into dtx_lock (lock_id, xid, resource_id, table_name, row_key, since) \
                  values ($1, 'nobody', 'orders', 'account', '1', 0)";
    sqlx::query(insert).bind(key.id()).execute(&world.disk.pool("tc").await).await.unwrap();
    let locks = world.dtx.locks().await.unwrap();
    assert_eq!(locks.len(), 1);
    assert!(locks[0].parked && locks[0].xid == "nobody" && locks[0].age > Duration::from_secs(60), "{locks:?}");
    // It says by whom, and at once: nobody is going to free it.
    let blocked = world.dtx.run(Options::new("next"), async |_| add(&world.at[0], 1).await).await;
    assert!(
        matches!(&blocked, Err(DtxError::LockConflict { rolling_back: true, holder, .. }) if holder == "nobody"),
        "{blocked:?}"
    );
    assert_eq!(world.balance(0, 1).await, Some(100));
}
