//! Row locks are a try: nothing waits with a local transaction open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use onceward_dtx::{At, AtOptions, DtxError, GlobalStatus, Options};
use sqlx::pool::PoolOptions;
use testkit::Rng;
use tokio::sync::Notify;

use crate::disk::Db;
use crate::world::{World, add};

fn conflict(error: &DtxError) -> (bool, &str, &str) {
    match error {
        DtxError::LockConflict { rolling_back, table, key, .. } => (*rolling_back, table, key),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_by_hand_hears_of_a_locked_row_at_once() {
    let world = World::new().await;
    let _worker = world.worker();
    let locked = Notify::new();
    let tried = Notify::new();
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        tried.notified().await;
        Ok::<_, DtxError>(())
    });
    let other = async {
        locked.notified().await;
        let answer = world
            .dtx
            .run(Options::new("other"), async |_| {
                let mut tx = world.at[0].begin().await?;
                sqlx::query("update account set balance = 0 where id = 1").execute(&mut *tx).await?;
                tx.commit().await
            })
            .await;
        tried.notify_one();
        answer.unwrap_err()
    };
    let (held, error) = tokio::join!(holder, other);
    held.unwrap();
    assert_eq!(conflict(&error), (false, "account", "1"));
    assert!(error.is_retryable() && error.is_conflict());
    world.quiet().await;
    assert_eq!(world.balance(0, 1).await, Some(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_waits_with_nothing_open_and_runs_again() {
    let world = World::new().await;
    let _worker = world.worker();
    let locked = Notify::new();
    let runs = AtomicUsize::new(0);
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        world.waiting(1).await;
        // The waiter has neither the write lock of the file nor a connection of the pool.
        sqlx::query("update account set owner = 'bea' where id = 2").execute(world.at[0].pool()).await?;
        Ok::<_, DtxError>(())
    });
    let waiter = async {
        locked.notified().await;
        world
            .dtx
            .run(Options::new("waiter"), async |_| {
                world.at[0]
                    .branch(async |mut tx| {
                        let seen: i64 =
                            sqlx::query_scalar("select balance from account where id = 1").fetch_one(&mut *tx).await?;
                        runs.fetch_add(1, Ordering::SeqCst);
                        sqlx::query("update account set balance = $1 where id = 1")
                            .bind(seen + 10)
                            .execute(&mut *tx)
                            .await?;
                        Ok::<_, DtxError>(())
                    })
                    .await
            })
            .await
    };
    let (held, passed) = tokio::join!(holder, waiter);
    held.unwrap();
    passed.unwrap();
    world.quiet().await;
    assert_eq!(runs.load(Ordering::SeqCst), 2, "against the lock, then when it was its turn");
    assert_eq!(world.balance(0, 1).await, Some(111));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_stays_locked_ends_the_branch_in_time() {
    let world =
        World::open(World::new().await.disk, || AtOptions::default().with_lock_timeout(Duration::from_millis(200)))
            .await;
    let blocked = world
        .dtx
        .run(Options::new("holder"), async |_| {
            add(&world.at[0], 1).await?;
            let (dtx, at) = (world.dtx.clone(), world.at[0].clone());
            let other = tokio::spawn(async move { dtx.run(Options::new("other"), async |_| add(&at, 1).await).await });
            Ok::<_, DtxError>(other.await.unwrap())
        })
        .await
        .unwrap();
    assert!(blocked.unwrap_err().is_conflict());
}

/// That many writers of one row on that many connections; 30 % of the transactions fail.
async fn hot_row(writers: u32, connections: u32) {
    let world = World::new().await;
    let _worker = world.worker();
    let open = world.disk.pool("hot").await;
    let pool = PoolOptions::<Db>::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(60))
        .connect_with((*open.connect_options()).clone())
        .await
        .unwrap();
    sqlx::query("create table account (id bigint primary key, balance bigint not null)").execute(&open).await.unwrap();
    sqlx::query("insert into account values (1, 0)").execute(&open).await.unwrap();
    let options = AtOptions::default().with_lock_timeout(Duration::from_secs(60));
    let hot = At::<Db>::new("hot", pool, &world.dtx, options).await.unwrap();
    let (met, mut seeds) = (Arc::new(AtomicUsize::new(0)), Rng::new(testkit::seed()));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (dtx, hot, met, mut rng) = (world.dtx.clone(), hot.clone(), Arc::clone(&met), seeds.fork());
            tokio::spawn(async move {
                loop {
                    let fail = rng.chance(0.3);
                    let answer = dtx
                        .run(Options::new("hot").with_timeout(Duration::from_secs(60)), async |_| {
                            add(&hot, 1).await?;
                            if fail { Err(DtxError::NoTransaction) } else { Ok(()) }
                        })
                        .await;
                    match answer {
                        Ok(()) => return,
                        Err(DtxError::NoTransaction | DtxError::RollbackInProgress { .. }) => {}
                        Err(error) if error.is_retryable() => drop(met.fetch_add(1, Ordering::SeqCst)),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        })
        .collect();
    let began = Instant::now();
    for task in tasks {
        task.await.unwrap();
    }
    println!("{writers} writers took {:?}, {} met a rollback", began.elapsed(), met.load(Ordering::SeqCst));
    world.quiet().await;
    assert_eq!(crate::world::balance(&open, 1).await, Some(writers.into()));
    assert!(world.dtx.parked().await.unwrap().is_empty() && world.dtx.waiters().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hot_row_conserves_its_sum_on_a_pool_of_one() {
    hot_row(32, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_of_one_row_on_a_pool_of_four_all_get_through() {
    hot_row(64, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_writer_respects_the_locks_of_an_open_transaction() {
    let world = World::new().await;
    let _worker = world.worker();
    let local = async |id: i64| {
        world.at[0]
            .local(async |mut tx| {
                sqlx::query("update account set balance = balance * 2 where id = $1")
                    .bind(id)
                    .execute(&mut *tx)
                    .await?;
                Ok::<_, DtxError>(())
            })
            .await
    };
    let (locked, free) = (Notify::new(), Notify::new());
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        local(2).await?;
        locked.notify_one();
        free.notified().await;
        Err::<(), _>(DtxError::NoTransaction)
    });
    let writer = async {
        locked.notified().await;
        let began = Instant::now();
        let blocked = tokio::time::timeout(Duration::from_millis(300), local(1)).await;
        assert!(blocked.is_err() && began.elapsed() >= Duration::from_millis(300), "it waits: {blocked:?}");
        free.notify_one();
        loop {
            match local(1).await {
                Err(DtxError::LockConflict { rolling_back: true, .. }) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let (held, written) = tokio::join!(holder, writer);
    assert!(held.is_err());
    written.unwrap();
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(200), Some(200)));
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_unique_value_is_locked_until_the_decision() {
    let world = World::new().await;
    let at = &world.at[0];
    sqlx::query("create unique index one_owner on account (owner)").execute(at.pool()).await.unwrap();
    let rename = async |owner: &str, id: i64| -> Result<(), DtxError> {
        let mut tx = at.begin().await?;
        sqlx::query("update account set owner = $1 where id = $2").bind(owner).bind(id).execute(&mut *tx).await?;
        tx.commit().await
    };
    let answer = world
        .dtx
        .run(Options::new("frees ann"), async |_| {
            rename("amy", 1).await?;
            let (dtx, at) = (world.dtx.clone(), at.clone());
            let other = tokio::spawn(async move {
                dtx.run(Options::new("takes ann"), async |_| {
                    let mut tx = at.begin().await?;
                    sqlx::query("insert into account values (3, 'ann', 0)").execute(&mut *tx).await?;
                    tx.commit().await
                })
                .await
            });
            let taken = other.await.unwrap();
            assert!(taken.unwrap_err().is_conflict());
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "undone, not parked: {answer:?}");
    let owners: Vec<String> =
        sqlx::query_scalar("select owner from account order by id").fetch_all(at.pool()).await.unwrap();
    assert_eq!(owners, ["ann", "bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_holder_fails_others_fast() {
    let world = World::new().await;
    let mut xid = String::new();
    let parked = world
        .dtx
        .run(Options::new("dirty"), async |global| {
            xid = global.xid().to_owned();
            add(&world.at[0], 1).await?;
            sqlx::query("update account set balance = 5 where id = 1").execute(world.at[0].pool()).await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(parked, Err(DtxError::Parked { .. })), "{parked:?}");
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Parked));
    let began = Instant::now();
    let blocked = world.dtx.run(Options::new("next"), async |_| add(&world.at[0], 1).await).await.unwrap_err();
    assert_eq!(conflict(&blocked), (true, "account", "1"));
    assert!(began.elapsed() < Duration::from_secs(5), "not the lock time-out");
}
