//! Rows that a transaction locks before its branches change them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use onceward_dtx::{AtOptions, DtxError, GlobalStatus, Options, Reason};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::{Barrier, Notify};

use crate::disk::LOCKS_ROWS;
use crate::world::{World, add};

const ONE: &str = "select id from account where id = 1";
const ALL: &str = "select * from account order by id";

/// The keys that the transaction holds of the first database.
async fn held(world: &World, xid: &str) -> Vec<String> {
    let locks = world.dtx.locks().await.unwrap();
    let own = locks.into_iter().filter(|lock| lock.xid == xid);
    let mut keys: Vec<_> = own.map(|lock| format!("{}/{}/{}", lock.resource_id, lock.table, lock.key)).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn free_rows_are_held_when_the_call_answers() {
    let world = World::new().await;
    let _worker = world.worker();
    let run = world.dtx.run(Options::new("holder"), async |global| {
        let locked = sqlx::query("select id as x, balance from account a where a.id >= $1 order by 1 limit $2");
        assert_eq!(world.at[0].lock(locked.bind(1_i64).bind(5_i64)).await?, 2);
        assert_eq!(held(&world, global.xid()).await, ["orders/account/1", "orders/account/2"]);
        assert_eq!(
            world.at[0].lock("with x as (select 2 as id) select * from account where id in (select id from x)").await?,
            1
        );
        let nothing = world.at[0].lock("select id from account where id = 99").await?;
        assert_eq!(nothing, 0, "no row, no lock");
        let other = world.dtx.clone();
        let at = world.at[0].clone();
        let blocked = tokio::spawn(async move {
            other
                .run(Options::new("other"), async |_| {
                    let mut tx = at.begin().await?;
                    tx.execute("update account set balance = 0 where id = 2").await?;
                    tx.commit().await
                })
                .await
        });
        let blocked = blocked.await.unwrap();
        assert!(matches!(&blocked, Err(DtxError::LockConflict { key, .. }) if key == "2"), "{blocked:?}");
        add(&world.at[0], 1).await?;
        Ok::<_, DtxError>(())
    });
    run.await.unwrap();
    world.quiet().await;
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(101), Some(100)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_that_lock_a_hot_row_first_run_each_branch_once() {
    let world = World::open(World::new().await.disk, || {
        AtOptions::default().with_lock_timeout(std::time::Duration::from_secs(60))
    })
    .await;
    let _worker = world.worker();
    let (runs, together) = (AtomicUsize::new(0), Barrier::new(16));
    let work = async |fails: bool| {
        together.wait().await;
        world
            .dtx
            .run(Options::new("hot"), async |_| {
                assert_eq!(world.at[0].lock(ONE).await?, 1);
                world.at[0]
                    .branch(async |mut tx| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        tx.execute("update account set balance = balance + 1 where id = 1").await?;
                        Ok::<_, DtxError>(())
                    })
                    .await?;
                // Others wait for its rollback, too.
                if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
            })
            .await
    };
    let all = futures_util::future::join_all((0..16).map(|n| work(n % 4 == 0))).await;
    for answer in all {
        assert!(matches!(answer, Ok(()) | Err(DtxError::NoTransaction)), "{answer:?}");
    }
    world.quiet().await;
    assert_eq!(runs.load(Ordering::SeqCst), 16, "none has run again");
    assert_eq!(world.balance(0, 1).await, Some(112));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_given_in_the_order_in_which_they_were_asked_for() {
    let world = World::new().await;
    let _worker = world.worker();
    let (locked, order) = (Notify::new(), Mutex::new(Vec::new()));
    let turn = async |name: &'static str, before: usize, query: &'static str| {
        world.waiting(before).await;
        let answer = world.dtx.run(Options::new(name), async |_| {
            world.at[0].lock(query).await?;
            order.lock().unwrap().push(name);
            Ok::<_, DtxError>(())
        });
        answer.await.unwrap();
    };
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        world.waiting(3).await;
        // None of them holds the write lock of the file or a row.
        world.at[0].pool().execute("update account set owner = 'bea' where id = 1").await?;
        Ok::<_, DtxError>(())
    });
    let others = async {
        locked.notified().await;
        let last = "select id from account where id = 2";
        // The last one's row is free, and stands behind the one that wants all of them.
        tokio::join!(turn("first", 0, ONE), turn("second", 1, ALL), turn("third", 2, last));
    };
    let (held, ()) = tokio::join!(holder, others);
    held.unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second", "third"]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_locks_ends_at_once_with_one_that_gives_way() {
    let world = World::new().await;
    let _worker = world.worker();
    let both = Barrier::new(2);
    let cross = async |first: usize, second: usize| {
        world
            .dtx
            .run(Options::new("cross"), async |_| {
                world.at[first].lock(ONE).await?;
                both.wait().await;
                world.at[second].lock(ONE).await?;
                add(&world.at[second], 1).await
            })
            .await
    };
    let (one, other) = tokio::join!(cross(0, 1), cross(1, 0));
    let gave_way = |answer: &Result<(), DtxError>| matches!(answer, Err(DtxError::Deadlock { .. }));
    // Who is late would hear of a conflict.
    assert!(gave_way(&one) && other.is_ok() || gave_way(&other) && one.is_ok(), "{one:?} {other:?}");
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_locked_whichever_way_the_transaction_ends() {
    let world = World::new().await;
    let worker = world.worker();
    let lock = async |fails: bool| {
        let run = async |_| {
            assert_eq!(world.at[0].lock(ALL).await?, 2);
            if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
        };
        world.dtx.run(Options::new("ends"), run).await
    };
    lock(false).await.unwrap();
    assert!(world.dtx.locks().await.unwrap().is_empty(), "free before the commit is answered");
    assert!(matches!(lock(true).await, Err(DtxError::NoTransaction)));
    assert!(world.dtx.locks().await.unwrap().is_empty(), "and the rollback");
    let taken = Notify::new();
    let dropped = world.dtx.run(Options::new("dropped"), async |_| {
        world.at[0].lock(ALL).await?;
        taken.notify_one();
        std::future::pending::<Result<(), DtxError>>().await
    });
    tokio::select! {
        answer = dropped => panic!("{answer:?}"),
        () = taken.notified() => {}
    }
    world.quiet().await;
    drop(worker);
    // A process that dies holds one row, and waits for the other.
    let other = world.dtx.begin(Options::new("other")).await.unwrap();
    other.scope(world.at[1].lock(ALL)).await.unwrap();
    let dies = world.dtx.begin(Options::new("dies")).await.unwrap();
    dies.scope(world.at[0].lock(ALL)).await.unwrap();
    let waits = dies.scope(world.at[1].lock(ALL));
    tokio::select! {
        answer = waits => panic!("{answer:?}"),
        () = world.waiting(1) => {}
    }
    std::mem::forget((dies, other));
    let world = world.restart().await;
    world.dtx.recover().await.unwrap();
    let _worker = world.worker();
    world.quiet().await;
    world.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_decided_is_given_no_row() {
    let world = World::new().await;
    let run = world.dtx.run(Options::new("decided by another"), async |global| {
        world.dtx.coordinator().rollback(global.xid(), Reason::Operator).await?;
        let refused = world.at[0].lock(ONE).await;
        assert!(matches!(refused, Err(DtxError::Ended { status: Some(GlobalStatus::RolledBack), .. })), "{refused:?}");
        assert!(held(&world, global.xid()).await.is_empty());
        Err::<(), _>(DtxError::NoTransaction)
    });
    run.await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_locked_is_refused_and_nothing_is_held() {
    let world = World::open(World::new().await.disk, || AtOptions::default().with_max_rows(3)).await;
    let pool = world.at[0].pool();
    pool.execute("create table bare (a integer)").await.unwrap();
    pool.execute("create table many (id integer primary key)").await.unwrap();
    pool.execute("insert into many values (1), (2), (3), (4)").await.unwrap();
    let outside = world.at[0].lock(ONE).await;
    assert!(matches!(outside, Err(DtxError::NoTransaction)), "{outside:?}");
    let run = world.dtx.run(Options::new("refused"), async |global| {
        let several = "select * from many, account";
        for (query, why) in [
            ("select * from nowhere", "unknown table"),
            ("select * from bare", "no primary key"),
            ("select * from undo_log", "bookkeeping"),
            (several, "something else"),
            ("select 1", "something else"),
            ("select * from (select * from account) x", "something else"),
            ("select count(*) from account", "count(*)"),
            ("select max(id) from account", "max(id)"),
            ("select distinct owner from account", "DISTINCT"),
            ("select owner from account group by owner", "GROUP BY"),
            ("select id from account union select id from many", "one SELECT"),
            ("values (1)", "one SELECT"),
            ("update account set balance = 0", "a change"),
            ("select * from account for update", "FOR UPDATE"),
            ("select * from account; select 1", "several statements"),
        ] {
            let refused = world.at[0].lock(AssertSqlSafe(query)).await;
            assert!(
                matches!(&refused, Err(DtxError::Refused { part, .. }) if part.contains(why)),
                "{query}: {refused:?}"
            );
        }
        let many = world.at[0].lock("select id from many").await;
        assert!(matches!(many, Err(DtxError::TooLarge { what: "rows", limit: 3 })), "{many:?}");
        let failed = world.at[0].lock("select id from account where none = 1").await;
        assert!(matches!(failed, Err(DtxError::Backend(_))), "{failed:?}");
        let within = world.at[0].branch(async |_tx| world.at[0].lock(ONE).await).await;
        assert!(
            matches!(&within, Err(DtxError::Refused { part, .. }) if part.contains("within a branch")),
            "{within:?}"
        );
        assert_eq!(held(&world, global.xid()).await, [""; 0]);
        assert_eq!(world.at[0].lock("select id from many where id < 4").await?, 3);
        Ok::<_, DtxError>(())
    });
    run.await.unwrap();
    // What it says of FOR UPDATE within a branch: SQLite has no such thing.
    let run = world.dtx.run(Options::new("for update"), async |_| {
        world.at[0]
            .branch(async |mut tx| Ok::<_, DtxError>(tx.fetch_all("select * from account for update").await?.len()))
            .await
    });
    let answer = run.await;
    assert_eq!(matches!(answer, Ok(2)), LOCKS_ROWS, "{answer:?}");
    assert_eq!(matches!(answer, Err(DtxError::Backend(_))), !LOCKS_ROWS, "{answer:?}");
}

/// The holder of the row that is waited for changes what the query chooses.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_while_it_waits_are_looked_at_again() {
    let world = World::new().await;
    let _worker = world.worker();
    let change = async |text: &'static str| {
        let work = async |mut tx: onceward_dtx::AtTransaction<crate::disk::Db>| {
            tx.execute(text).await?;
            Ok::<_, DtxError>(())
        };
        world.at[0].branch(work).await
    };
    let locked = Notify::new();
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        world.waiting(1).await;
        change("delete from account where id = 1").await?;
        change("insert into account values (3, 'ann', 5), (4, 'ann', 5)").await?;
        Ok::<_, DtxError>(())
    });
    let waiter = async {
        locked.notified().await;
        let run = world.dtx.run(Options::new("waiter"), async |global| {
            let rows = world.at[0].lock(sqlx::query("select id from account where owner = $1").bind("ann")).await?;
            Ok::<_, DtxError>((rows, held(&world, global.xid()).await))
        });
        run.await.unwrap()
    };
    let (held, (rows, keys)) = tokio::join!(holder, waiter);
    held.unwrap();
    assert_eq!(rows, 2);
    assert_eq!(keys, ["orders/account/1", "orders/account/3", "orders/account/4"], "what was waited for stays");
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_stays_locked_and_one_that_is_parked_end_the_call() {
    let world = World::open(World::new().await.disk, || {
        AtOptions::default().with_lock_timeout(std::time::Duration::from_millis(200))
    })
    .await;
    let lock = async || world.dtx.run(Options::new("next"), async |_| world.at[0].lock(ALL).await).await;
    let holder = world.dtx.begin(Options::new("holder")).await.unwrap();
    holder.scope(add(&world.at[0], 1)).await.unwrap();
    let late = lock().await;
    assert!(
        matches!(&late, Err(DtxError::LockConflict { rolling_back: false, holder: by, key, .. }) if by == holder.xid() && key == "1"),
        "{late:?}"
    );
    world.at[0].pool().execute("update account set balance = 5 where id = 1").await.unwrap();
    let parked = holder.rollback().await;
    assert!(matches!(parked, Err(DtxError::Parked { .. })), "{parked:?}");
    let blocked = lock().await;
    assert!(matches!(&blocked, Err(DtxError::LockConflict { rolling_back: true, .. })), "{blocked:?}");
    world.waiting(0).await;
}

/// What a waiter is told may be a guess: its place in the queue is gone, and nobody knows why.
#[tokio::test(flavor = "multi_thread")]
async fn a_guess_is_not_taken_for_the_row() {
    let world = World::new().await;
    let _worker = world.worker();
    let locked = Notify::new();
    let queue = world.disk.pool("tc").await;
    let done = AtomicUsize::new(0);
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        world.waiting(1).await;
        queue.execute("delete from dtx_wait").await?;
        queue.execute("delete from dtx_waiter").await?;
        // It takes another place, since the row is not its own.
        world.waiting(1).await;
        assert_eq!(done.load(Ordering::SeqCst), 0);
        Ok::<_, DtxError>(())
    });
    let waiter = async {
        locked.notified().await;
        let run = world.dtx.run(Options::new("waiter"), async |global| {
            assert_eq!(world.at[0].lock(ONE).await?, 1);
            done.fetch_add(1, Ordering::SeqCst);
            assert_eq!(held(&world, global.xid()).await, ["orders/account/1"]);
            Ok::<_, DtxError>(())
        });
        run.await.unwrap();
    };
    let (held, ()) = tokio::join!(holder, waiter);
    held.unwrap();
    world.quiet().await;
}
