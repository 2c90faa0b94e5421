//! The second phase of many commits at once.

use std::time::Duration;

use onceward_dtx::{BranchInfo, BranchStatus, DtxError, GlobalStatus, Options, TransactionFilter};
use testkit::eventually;

use crate::world::{World, add};

/// Commits in the resources of these numbers and answers the xid.
async fn committed(world: &World, resources: &[usize]) -> String {
    let run = world.dtx.run(Options::new("committed"), async |global| {
        for &at in resources {
            add(&world.at[at], 1).await?;
        }
        Ok::<_, DtxError>(global.xid().to_owned())
    });
    run.await.unwrap()
}

async fn open(world: &World) -> Vec<String> {
    world.dtx.transactions(&TransactionFilter::default()).await.unwrap().into_iter().map(|open| open.xid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_end_holds_up_no_other() {
    let world = World::new().await;
    let foreign = committed(&world, &[0, 1]).await;
    sqlx::query("update undo_log set context = 'serializer=jackson'").execute(world.at[0].pool()).await.unwrap();
    for _ in 0..10 {
        committed(&world, &[0, 1, 2]).await;
    }
    assert_eq!(world.dtx.undo_rows().await.unwrap().len(), 32, "no worker, no second phase");
    let worker = world.worker();
    eventually(Duration::from_secs(20), async || {
        let open = open(&world).await;
        if open == [foreign.clone()] { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    let left = world.dtx.undo_rows().await.unwrap();
    assert_eq!((left.len(), left[0].xid.as_str(), left[0].resource_id.as_str()), (1, foreign.as_str(), "orders"));
    sqlx::query("update undo_log set context = 'serializer=onceward'").execute(world.at[0].pool()).await.unwrap();
    world.quiet().await;
    assert_eq!(world.dtx.status(&foreign).await.unwrap(), Some(GlobalStatus::Committed));
    assert_eq!(world.balances().await, [111, 111, 110]);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_fails_is_asked_again_while_the_others_end() {
    let world = World::new().await;
    let mut both = Vec::new();
    for _ in 0..5 {
        both.push(committed(&world, &[0, 1]).await);
        committed(&world, &[0, 2]).await;
    }
    sqlx::query("alter table undo_log rename to undo_away").execute(world.at[1].pool()).await.unwrap();
    let worker = world.worker();
    eventually(Duration::from_secs(20), async || {
        let open = world.dtx.transactions(&TransactionFilter::default()).await.unwrap();
        // Of those that wait, the other branch is done and the coordinator knows.
        let done = |branch: &BranchInfo| (branch.status == BranchStatus::Done) == (branch.resource_id == "orders");
        let half = open.iter().all(|open| both.contains(&open.xid) && open.branches.iter().all(done));
        if half && open.len() == both.len() { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    sqlx::query("alter table undo_away rename to undo_log").execute(world.at[1].pool()).await.unwrap();
    world.quiet().await;
    assert_eq!(world.balances().await, [110, 105, 105]);
    drop(worker);
}
