//! Random transfers between three databases, of which some fail, some are dropped anywhere, and then the process dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use onceward_dtx::{DtxError, Options};
use testkit::Rng;

use crate::world::{NAMES, World};

const ACCOUNTS: u64 = 4;
const TASKS: usize = 12;

/// Moves money and notes it on both sides.
async fn transfer(world: &World, rng: &mut Rng) -> Result<(), DtxError> {
    let (from, to) = (usize::try_from(rng.below(3)).unwrap(), usize::try_from(rng.below(3)).unwrap());
    let (giver, taker) = (rng.below(ACCOUNTS).cast_signed(), rng.below(ACCOUNTS).cast_signed());
    let (amount, fails) = (rng.below(50).cast_signed() + 1, rng.chance(0.3));
    world
        .dtx
        // Within the patience of `quiet`: a beginning that was dropped on its way ends by its deadline only.
        .run(Options::new("transfer").with_timeout(Duration::from_secs(8)), async |global| {
            // In one order everywhere: two that lock the other way round would wait for the lock time-out.
            let mut sides = [(from, giver, -amount), (to, taker, amount)];
            sides.sort_unstable();
            for (at, id, amount) in sides {
                world.at[at]
                    .branch(async |mut tx| {
                        let changed = sqlx::query("update money set amount = amount + $1 where id = $2")
                            .bind(amount)
                            .bind(id)
                            .execute(&mut *tx)
                            .await?;
                        assert_eq!(changed.rows_affected(), 1);
                        sqlx::query("insert into ledger (xid, account, amount) values ($1, $2, $3)")
                            .bind(global.xid())
                            .bind(id)
                            .bind(amount)
                            .execute(&mut *tx)
                            .await?;
                        Ok::<_, DtxError>(())
                    })
                    .await?;
            }
            if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
        })
        .await
}

/// The sum of all accounts, and what each transaction has noted: two entries that cancel out, or none.
async fn audit(world: &World) {
    let mut sum = 0;
    let mut ledger = BTreeMap::<String, Vec<i64>>::new();
    for at in &world.at {
        sum += sqlx::query_scalar::<_, i64>("select cast(sum(amount) as bigint) from money")
            .fetch_one(at.pool())
            .await
            .unwrap();
        let accounts: Vec<(i64, i64)> = sqlx::query_as(
            "select amount, (select cast(coalesce(sum(l.amount), 0) as bigint) from ledger l where l.account = money.id) \
             from money",
        )
        .fetch_all(at.pool())
        .await
        .unwrap();
        for (amount, noted) in accounts {
            assert_eq!(amount, 1000 + noted, "each account is explained by its ledger");
        }
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select xid, amount from ledger").fetch_all(at.pool()).await.unwrap();
        for (xid, amount) in rows {
            ledger.entry(xid).or_default().push(amount);
        }
    }
    assert_eq!(sum, 1000 * ACCOUNTS.cast_signed() * 3, "no money is made or lost");
    for (xid, amounts) in &ledger {
        assert_eq!((amounts.len(), amounts.iter().sum::<i64>()), (2, 0), "{xid} took effect by halves");
    }
    println!("{} transfers took effect", ledger.len());
    assert!(!ledger.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_money_is_made_or_lost_whatever_is_dropped_and_whenever_it_dies() {
    let mut seeds = Rng::new(testkit::seed());
    for _ in 0..testkit::scale() {
        let world = World::new().await;
        for at in &world.at {
            sqlx::raw_sql(
                "create table money (id bigint primary key, amount bigint not null);
                 create table ledger (xid text, account bigint, amount bigint, primary key (xid, account, amount));
                 insert into money values (0, 1000), (1, 1000), (2, 1000), (3, 1000)",
            )
            .execute(at.pool())
            .await
            .unwrap();
        }
        let worker = world.worker();
        let world = Arc::new(world);
        let committed = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (world, committed, mut rng) = (Arc::clone(&world), Arc::clone(&committed), seeds.fork());
                tokio::spawn(async move {
                    loop {
                        let patience = if rng.chance(0.2) { rng.below(40) } else { 60_000 };
                        let run = transfer(&world, &mut rng);
                        match tokio::time::timeout(Duration::from_millis(patience), run).await {
                            Ok(Ok(())) => drop(committed.fetch_add(1, Ordering::SeqCst)),
                            Err(_) | Ok(Err(DtxError::NoTransaction)) => {}
                            Ok(Err(error)) if error.is_retryable() => {}
                            // The last: past its deadline, on a busy machine.
                            Ok(Err(
                                error @ (DtxError::RollbackInProgress { .. }
                                | DtxError::RolledBack { .. }
                                | DtxError::Ended { status: Some(_), .. }),
                            )) => {
                                println!("{error}");
                            }
                            Ok(Err(error)) => panic!("{error:?}"),
                        }
                    }
                })
            })
            .collect();
        // The process dies in the middle: all tasks stop where they are.
        let enough = 10 + seeds.below(20);
        testkit::eventually(Duration::from_secs(60), async || match committed.load(Ordering::SeqCst) {
            done if done >= enough => Ok(()),
            done => Err(format!("{done} of {enough} transfers")),
        })
        .await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        for task in tasks {
            let Err(error) = task.await;
            assert!(error.is_cancelled(), "{error}");
        }
        drop(worker);
        let world = Arc::into_inner(world).unwrap().restart().await;
        world.dtx.recover().await.unwrap();
        let _worker = world.worker();
        world.quiet().await;
        assert!(world.dtx.parked().await.unwrap().is_empty());
        audit(&world).await;
        assert_eq!(world.at.len(), NAMES.len());
    }
}
