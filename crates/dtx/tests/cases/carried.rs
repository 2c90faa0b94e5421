//! The global transaction of a task put aside, and carried into other tasks.

use onceward_dtx::{DtxError, GlobalStatus, Options, Reason, context, spawn};
use tokio::sync::oneshot;

use crate::world::{World, add};

#[tokio::test(flavor = "multi_thread")]
async fn put_aside_it_is_not_there_and_then_goes_on() {
    let world = World::new().await;
    let _worker = world.worker();
    world
        .dtx
        .run(Options::new("outer"), async |outer| {
            add(&world.at[0], 1).await?;
            let beside = context::without(async {
                assert!(context::current().is_none());
                assert!(matches!(add(&world.at[1], 1).await, Err(DtxError::NoTransaction)));
                let failing = async |_| {
                    add(&world.at[1], 1).await?;
                    Err::<(), _>(DtxError::RollbackOnly("on purpose"))
                };
                world.dtx.run(Options::new("beside"), failing).await
            })
            .await;
            assert!(matches!(beside, Err(DtxError::RollbackOnly(_))), "{beside:?}");
            assert_eq!(context::current().unwrap().xid(), outer.xid());
            add(&world.at[2], 1).await
        })
        .await
        .unwrap();
    world.quiet().await;
    assert_eq!(world.balances().await, [101, 100, 101]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spawned_tasks_are_part_of_the_whole() {
    let world = World::new().await;
    let _worker = world.worker();
    for fail in [true, false] {
        let answer = world
            .dtx
            .run(Options::new("tasks"), async |global| {
                let tasks: Vec<_> =
                    world.at.iter().cloned().map(|at| spawn(async move { add(&at, 7).await })).collect();
                for task in tasks {
                    task.await.unwrap()?;
                }
                let plain = tokio::spawn(async { context::current().is_none() });
                assert!(plain.await.unwrap(), "only ours carries it");
                let seen = spawn(async { spawn(async { context::current() }).await.unwrap() }).await.unwrap();
                assert_eq!(seen.unwrap().xid(), global.xid());
                if fail { Err(DtxError::RollbackOnly("on purpose")) } else { Ok(()) }
            })
            .await;
        assert_eq!(answer.is_err(), fail, "{answer:?}");
        world.quiet().await;
        assert_eq!(world.balances().await, if fail { [100; 3] } else { [107; 3] });
    }
    assert!(spawn(async { context::current() }).await.unwrap().is_none(), "there is none to carry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_still_runs_at_the_end_dooms_the_whole() {
    let world = World::new().await;
    let _worker = world.worker();
    let (go, wait) = oneshot::channel();
    let mut late = None;
    let answer = world
        .dtx
        .run(Options::new("left behind"), async |_| {
            add(&world.at[0], 7).await?;
            let at = world.at[1].clone();
            late = Some(spawn(async move {
                wait.await.unwrap();
                add(&at, 7).await
            }));
            Ok::<_, DtxError>(())
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RolledBack { reason: Reason::Doubt, .. })), "{answer:?}");
    go.send(()).unwrap();
    let late = late.unwrap().await.unwrap();
    assert!(matches!(late, Err(DtxError::Ended { status: Some(GlobalStatus::RolledBack), .. })), "{late:?}");
    assert_eq!(world.balances().await, [100; 3]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_by_hand_it_is_refused_after_the_end() {
    let world = World::new().await;
    let _worker = world.worker();
    let at = world.at[1].clone();
    let global = world
        .dtx
        .run(Options::new("by hand"), async |global| {
            let elsewhere = tokio::spawn(context::within(global.clone(), async move { add(&at, 7).await }));
            elsewhere.await.unwrap()?;
            Ok::<_, DtxError>(global)
        })
        .await
        .unwrap();
    world.quiet().await;
    assert_eq!(world.balances().await, [100, 107, 100]);
    let mut ran = false;
    let late = context::within(global, async {
        ran = true;
        Ok::<_, DtxError>(())
    });
    assert!(matches!(late.await, Err(DtxError::Ended { .. })));
    assert!(!ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_by_hand_and_still_running_it_dooms_the_whole() {
    let world = World::new().await;
    let _worker = world.worker();
    let answer = world
        .dtx
        .run(Options::new("by hand"), async |global| {
            let (begun, wait) = oneshot::channel();
            tokio::spawn(context::within(global, async move {
                begun.send(()).unwrap();
                std::future::pending::<Result<(), DtxError>>().await
            }));
            wait.await.unwrap();
            add(&world.at[0], 7).await
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RolledBack { reason: Reason::Doubt, .. })), "{answer:?}");
    assert_eq!(world.balances().await, [100; 3]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_or_is_aborted_is_over() {
    let world = World::new().await;
    let _worker = world.worker();
    world
        .dtx
        .run(Options::new("judged"), async |_| {
            let panics = spawn(async { assert!(context::current().is_none(), "on purpose") });
            assert!(panics.await.unwrap_err().is_panic());
            let aborted = spawn(std::future::pending::<()>());
            aborted.abort();
            assert!(aborted.await.unwrap_err().is_cancelled());
            add(&world.at[0], 7).await
        })
        .await
        .unwrap();
    world.quiet().await;
    assert_eq!(world.balances().await, [107, 100, 100]);
}
