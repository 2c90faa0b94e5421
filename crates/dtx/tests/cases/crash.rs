//! A process that dies at any point leaves nothing that the next one does not finish.

use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::{DtxError, GlobalStatus, NewBranch, Options, Reason, Recovered, TransactionFilter};

use crate::world::{World, add};

/// Runs two branches and stops before the decision.
async fn undecided(world: &World) -> String {
    let mut xid = String::new();
    let run = world.dtx.run(Options::new("undecided"), async |global| {
        xid = global.xid().to_owned();
        add(&world.at[0], 7).await?;
        add(&world.at[1], 7).await?;
        std::future::pending::<()>().await;
        Ok::<_, DtxError>(())
    });
    let stopped = stop_at(run, async || world.balances().await == [107, 107, 100]).await;
    assert!(stopped, "it went on");
    xid
}

/// Drives a future until a condition holds, then drops it.
async fn stop_at<F: Future>(run: F, done: impl AsyncFn() -> bool) -> bool {
    let watch = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    let mut run = std::pin::pin!(run);
    tokio::select! {
        biased;
        () = watch => true,
        _ = &mut run => false,
    }
}

fn recovered(rolled_back: usize, committed: usize) -> impl Fn(&Recovered) -> bool {
    move |found| found.rolled_back == rolled_back && found.committed == committed && found.pending + found.parked == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_decision_it_is_rolled_back() {
    let world = World::new().await;
    let xid = undecided(&world).await;
    let world = world.restart().await;
    assert_eq!(world.balances().await, [107, 107, 100], "nobody has done anything yet");
    let found = world.dtx.recover().await.unwrap();
    assert!(recovered(1, 0)(&found), "{found:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::RolledBack));
    assert_eq!(world.dtx.coordinator().reason(&xid).await.unwrap(), Some(Reason::Recovered));
    assert!(recovered(0, 0)(&world.dtx.recover().await.unwrap()), "nothing is left to recover");
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_decision_it_is_committed() {
    let world = World::new().await;
    let xid = world
        .dtx
        .run(Options::new("decided"), async |global| {
            add(&world.at[0], 7).await?;
            add(&world.at[2], 7).await?;
            Ok::<_, DtxError>(global.xid().to_owned())
        })
        .await
        .unwrap();
    assert_eq!(world.dtx.undo_rows().await.unwrap().len(), 2, "no worker, no second phase");
    let world = world.restart().await;
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Committing));
    let found = world.dtx.recover().await.unwrap();
    assert!(recovered(0, 1)(&found), "{found:?}");
    assert_eq!(world.balances().await, [107, 100, 107]);
    world.quiet().await;
    // Whoever lost the answer asks again and hears the same, also after the end.
    let coordinator = world.dtx.coordinator();
    assert_eq!(coordinator.commit(&xid).await.unwrap(), GlobalStatus::Committed);
    assert_eq!(coordinator.rollback(&xid, Reason::Failed).await.unwrap(), GlobalStatus::Committed);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_branches_of_the_second_phase_the_rest_follows() {
    for commit in [true, false] {
        let world = World::new().await;
        let xid = undecided(&world).await;
        let open = world.dtx.transactions(&TransactionFilter::default()).await.unwrap();
        let branch = open[0].branches.iter().find(|branch| branch.resource_id == "stock").unwrap();
        let stock = world.dtx.resources().get("stock").unwrap();
        // Decided, and one branch done, but the coordinator has not heard of it.
        let store = world.disk.store().await;
        let decision = if commit {
            onceward_dtx::tc::state::Decision::Commit
        } else {
            onceward_dtx::tc::state::Decision::Rollback(Reason::Failed)
        };
        onceward_dtx::tc::store::TcStore::decide(&store, &xid, decision, std::time::Duration::ZERO).await.unwrap();
        if commit {
            stock.commit(&xid, branch.branch_id).await.unwrap();
        } else {
            stock.rollback(&xid, branch.branch_id).await.unwrap();
        }
        let world = world.restart().await;
        let found = world.dtx.recover().await.unwrap();
        assert!(recovered(usize::from(!commit), usize::from(commit))(&found), "{found:?}");
        let expected = if commit { [107, 107, 100] } else { [100, 100, 100] };
        assert_eq!(world.balances().await, expected);
        world.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_first_phase_meets_the_guard() {
    let world = World::new().await;
    let coordinator = world.dtx.coordinator();
    let xid = coordinator
        .begin("died between registration and local commit", std::time::Duration::from_secs(60))
        .await
        .unwrap();
    let branch = NewBranch {
        xid: xid.clone(),
        branch_id: 7,
        resource_id: "orders".to_owned(),
        locks: vec![LockKey { resource_id: "orders".to_owned(), table: "account".to_owned(), key: "1".to_owned() }],
    };
    coordinator.register(&branch).await.unwrap();
    coordinator.register(&branch).await.unwrap();
    let world = world.restart().await;
    let found = world.dtx.recover().await.unwrap();
    assert!(recovered(1, 0)(&found), "{found:?}");
    world.quiet().await;
    // The local transaction that was still on its way writes its undo record first, and cannot.
    let late = sqlx::query(
        "insert into undo_log (xid, branch_id, context, rollback_info, log_status, log_created, log_modified) \
         values ($1, 7, 'serializer=onceward', $2, 0, 0, 0)",
    )
    .bind(&xid)
    .bind(&[0_u8; 0][..])
    .execute(world.at[0].pool())
    .await;
    assert!(late.unwrap_err().into_database_error().unwrap().is_unique_violation());
    // Asked again, it is still undone; the guard goes once it is old.
    let orders = world.dtx.resources().get("orders").unwrap();
    assert_eq!(orders.rollback(&xid, 7).await.unwrap(), onceward_dtx::rm::Undone::Done);
    assert_eq!(orders.sweep(std::time::Duration::from_secs(60)).await.unwrap(), 0);
    testkit::eventually(std::time::Duration::from_secs(5), async || {
        match orders.sweep(std::time::Duration::ZERO).await.unwrap() {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_is_missing_is_pending_until_it_is_back() {
    let world = World::new().await;
    let xid = undecided(&world).await;
    let disk = std::sync::Arc::clone(&world.disk);
    drop(world);
    let store = disk.store().await;
    let alone = onceward_dtx::Dtx::new(
        std::sync::Arc::new(onceward_dtx::Tc::new(std::sync::Arc::new(store), onceward_dtx::TcOptions::default())),
        onceward_dtx::DtxOptions::default(),
    );
    assert_eq!(alone.recover().await.unwrap().pending, 1);
    assert_eq!(alone.status(&xid).await.unwrap(), Some(GlobalStatus::RollingBack));
    drop(alone);
    let world = World::open(disk, onceward_dtx::AtOptions::default).await;
    let _worker = world.worker();
    world.quiet().await;
    assert_eq!(world.balances().await, [100, 100, 100]);
}
