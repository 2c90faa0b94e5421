//! All or nothing over three databases.

use std::time::Duration;

use onceward_dtx::{DtxError, GlobalStatus, Options, Reason, TransactionFilter, context};

use crate::world::{World, add};

#[tokio::test(flavor = "multi_thread")]
async fn three_databases_commit_together() {
    let world = World::new().await;
    let _worker = world.worker();
    let xid = world
        .dtx
        .run(Options::new("all"), async |global| {
            for at in &world.at {
                add(at, 7).await?;
            }
            Ok::<_, DtxError>(global.xid().to_owned())
        })
        .await
        .unwrap();
    assert_eq!(world.balances().await, [107, 107, 107]);
    world.quiet().await;
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Committed));
    assert_eq!(world.balances().await, [107, 107, 107]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_databases_roll_back_together_before_run_answers() {
    let world = World::new().await;
    let mut xid = String::new();
    let answer = world
        .dtx
        .run(Options::new("none"), async |global| {
            xid = global.xid().to_owned();
            for at in &world.at {
                add(at, 7).await?;
            }
            assert_eq!(world.balances().await, [107, 107, 107], "each branch has committed by itself");
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "the closure's own error: {answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::RolledBack));
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_branches_on_one_row_are_undone_in_reverse() {
    let world = World::new().await;
    let answer = world
        .dtx
        .run(Options::new("twice"), async |_| {
            add(&world.at[0], 1).await?;
            add(&world.at[0], 10).await?;
            add(&world.at[0], 100).await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)));
    assert_eq!(world.balance(0, 1).await, Some(100));
    assert!(world.dtx.parked().await.unwrap().is_empty());
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_nothing_registers_nothing() {
    let world = World::new().await;
    world
        .dtx
        .run(Options::new("look"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    let seen: i64 =
                        sqlx::query_scalar("select balance from account where id = 1").fetch_one(&mut *tx).await?;
                    let none = sqlx::query("update account set balance = 0 where id = 99").execute(&mut *tx).await?;
                    assert_eq!((seen, none.rows_affected()), (100, 0));
                    Ok::<_, DtxError>(())
                })
                .await?;
            let open = world.dtx.transactions(&TransactionFilter::default()).await?;
            assert!(open[0].branches.is_empty(), "{open:?}");
            Ok::<_, DtxError>(())
        })
        .await
        .unwrap();
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_is_rolled_back_by_the_worker() {
    let world = World::new().await;
    let _worker = world.worker();
    let run = world.dtx.run(Options::new("dropped"), async |_| {
        add(&world.at[0], 7).await?;
        std::future::pending::<()>().await;
        Ok::<_, DtxError>(())
    });
    assert!(tokio::time::timeout(Duration::from_millis(500), run).await.is_err());
    world.quiet().await;
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_rolled_back_by_the_worker() {
    let world = World::new().await;
    let _worker = world.worker();
    let (dtx, at) = (world.dtx.clone(), world.at.clone());
    let task = tokio::spawn(async move {
        dtx.run(Options::new("panic"), async |_| {
            add(&at[1], 7).await?;
            if at.len() == 3 {
                panic!("on purpose");
            }
            Ok::<_, DtxError>(())
        })
        .await
    });
    assert!(task.await.unwrap_err().is_panic());
    world.quiet().await;
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_deadline_it_is_rolled_back_and_says_so() {
    let world = World::new().await;
    let _worker = world.worker();
    let answer = world
        .dtx
        .run(Options::new("slow").with_timeout(Duration::from_millis(300)), async |global| {
            add(&world.at[0], 7).await?;
            testkit::eventually(Duration::from_secs(10), async || match world.dtx.status(global.xid()).await {
                Ok(Some(GlobalStatus::RolledBack)) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
            let late = add(&world.at[1], 7).await;
            assert!(matches!(late, Err(DtxError::Ended { status: Some(GlobalStatus::RolledBack), .. })), "{late:?}");
            Ok::<_, DtxError>(())
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RolledBack { reason: Reason::Timeout, .. })), "{answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_run_joins_and_its_failure_dooms_the_whole() {
    let world = World::new().await;
    let _worker = world.worker();
    let nested = async |fail: bool| {
        world
            .dtx
            .run(Options::new("outer"), async |outer| {
                add(&world.at[0], 7).await?;
                let inner = world
                    .dtx
                    .run(Options::new("inner"), async |inner| {
                        assert_eq!(inner.xid(), outer.xid());
                        add(&world.at[1], 7).await?;
                        if fail { Err(DtxError::NoTransaction) } else { Ok(()) }
                    })
                    .await;
                assert_eq!(inner.is_err(), fail);
                Ok::<_, DtxError>(())
            })
            .await
    };
    nested(false).await.unwrap();
    world.quiet().await;
    assert_eq!(world.balances().await, [107, 107, 100]);
    let failed = nested(true).await;
    assert!(matches!(failed, Err(DtxError::RolledBack { reason: Reason::Nested, .. })), "{failed:?}");
    assert_eq!(world.balances().await, [107, 107, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_needs_a_transaction_in_its_own_task() {
    let world = World::new().await;
    assert!(context::current().is_none());
    assert!(matches!(add(&world.at[0], 1).await, Err(DtxError::NoTransaction)));
    assert!(matches!(world.at[0].begin().await, Err(DtxError::NoTransaction)));
    assert_eq!(world.balance(0, 1).await, Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_can_be_ended_by_hand() {
    let world = World::new().await;
    let _worker = world.worker();
    let add_by_hand = async |amount: i64, commit: bool| -> Result<(), DtxError> {
        let mut tx = world.at[0].begin().await?;
        sqlx::query("update account set balance = balance + $1 where id = 1").bind(amount).execute(&mut *tx).await?;
        if commit { tx.commit().await } else { tx.rollback().await }
    };
    let run = world.dtx.run(Options::new("by hand"), async |_| {
        add_by_hand(1, true).await?;
        add_by_hand(10, false).await?;
        let mut dropped = world.at[0].begin().await?;
        sqlx::query("update account set balance = 0").execute(&mut *dropped).await?;
        Ok::<_, DtxError>(())
    });
    run.await.unwrap();
    world.quiet().await;
    assert_eq!(world.balance(0, 1).await, Some(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_that_keeps_its_transaction_is_told_so() {
    let world = World::new().await;
    let kept = world
        .dtx
        .run(Options::new("kept"), async |_| world.at[0].branch(async |tx| Ok::<_, DtxError>(tx)).await.map(|_| ()))
        .await;
    assert!(matches!(kept, Err(DtxError::TransactionKept)), "{kept:?}");
    let ended =
        world.dtx.run(Options::new("ended"), async |_| world.at[0].branch(async |tx| tx.commit().await).await).await;
    assert!(matches!(ended, Err(DtxError::TransactionKept)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_of_a_manager_takes_its_resources_along() {
    let world = World::new().await;
    let [dtx, copy] = [world.dtx.clone(), world.dtx.clone()];
    let orders = std::sync::Arc::downgrade(&dtx.resources().get("orders").unwrap());
    drop((world, dtx));
    assert!(orders.upgrade().is_some());
    drop(copy);
    assert!(orders.upgrade().is_none(), "its connections would stay open for ever");
}
