//! Services with different resources at one coordinator's store: each ends its own branches.

use std::time::Duration;

use onceward_dtx::{
    AtOptions, BranchInfo, BranchStatus, DtxError, DtxOptions, GlobalStatus, Options, Reason, Remote, TcOptions,
    TransactionFilter, TransactionInfo,
};
use testkit::eventually;

use crate::world::{World, add};

/// A transaction of the first service with a part of the second one, `ends` as the first says.
async fn over(first: &World, second: &World, ends: Result<(), DtxError>) -> (String, Result<(), DtxError>) {
    let mut xid = String::new();
    let run = first.dtx.run(Options::new("over both"), async |global| {
        global.xid().clone_into(&mut xid);
        add(&first.at[0], 1).await?;
        let remote = Remote::current().unwrap().unwrap();
        second.dtx.join(remote, async |_| add(&second.at[0], 7).await).await?;
        ends
    });
    let answer = run.await;
    (xid, answer)
}

async fn shown(world: &World, xid: &str) -> TransactionInfo {
    world.dtx.transactions(&TransactionFilter::of(xid)).await.unwrap().remove(0)
}

fn open(shown: &TransactionInfo) -> Vec<&str> {
    let open = shown.branches.iter().filter(|branch| branch.status == BranchStatus::Registered);
    open.map(|BranchInfo { resource_id, .. }| resource_id.as_str()).collect()
}

async fn becomes(world: &World, xid: &str, wanted: GlobalStatus) {
    eventually(Duration::from_secs(20), async || match world.dtx.status(xid).await {
        Ok(Some(status)) if status == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_ends_its_branches_when_it_is_back_and_nobody_asks_in_vain_meanwhile() {
    for (ends, going, over_with, balances) in [
        (Ok(()), GlobalStatus::Committing, GlobalStatus::Committed, (101, 107)),
        (Err(DtxError::NoTransaction), GlobalStatus::RollingBack, GlobalStatus::RolledBack, (100, 100)),
    ] {
        let [first, second] = World::pair([DtxOptions::default(), DtxOptions::default()]).await;
        let _worker = first.worker();
        let fails = ends.is_err();
        let (xid, answer) = over(&first, &second, ends).await;
        assert!(if fails { matches!(answer, Err(DtxError::RollbackInProgress { .. })) } else { answer.is_ok() });
        eventually(Duration::from_secs(20), async || {
            let shown = shown(&first, &xid).await;
            if open(&shown) == ["stock"] { Ok(()) } else { Err(format!("{shown:?}")) }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let waits = shown(&first, &xid).await;
        assert_eq!((waits.status, open(&waits)), (going, vec!["stock"]));
        assert!(waits.tries <= 2, "nobody asks again and again for what another has: {}", waits.tries);
        assert_eq!(waits.locks.iter().map(|lock| lock.resource_id.as_str()).any(|id| id == "stock"), fails);
        let back = second.worker();
        becomes(&first, &xid, over_with).await;
        assert_eq!((first.balance(0, 1).await.unwrap(), second.balance(0, 1).await.unwrap()), balances);
        assert!(first.dtx.locks().await.unwrap().is_empty());
        drop(back);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_at_a_start_does_its_own_part_and_leaves_the_rest() {
    let [first, second] = World::pair([DtxOptions::default(), DtxOptions::default()]).await;
    let (xid, answer) = over(&first, &second, Ok(())).await;
    answer.unwrap();
    let found = second.dtx.recover().await.unwrap();
    assert_eq!((found.pending, found.committed), (1, 0));
    assert_eq!(open(&shown(&second, &xid).await), ["orders"]);
    let found = first.dtx.recover().await.unwrap();
    assert_eq!((found.pending, found.committed), (0, 1));
    assert_eq!((first.balance(0, 1).await, second.balance(0, 1).await), (Some(101), Some(107)));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_attempt_a_branch_is_parked_and_undone_once_its_resource_is_back() {
    let world = World::new().await;
    let options = TcOptions::default().with_max_tries(3);
    let world = World::coordinated(std::sync::Arc::clone(&world.disk), options, AtOptions::default).await;
    let mut xid = String::new();
    let answer = world
        .dtx
        .run(Options::new("away"), async |global| {
            global.xid().clone_into(&mut xid);
            add(&world.at[0], 1).await?;
            add(&world.at[1], 1).await?;
            add(&world.at[1], 1).await?;
            sqlx::query("alter table undo_log rename to undo_away").execute(world.at[1].pool()).await.unwrap();
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
    let worker = world.worker();
    becomes(&world, &xid, GlobalStatus::Parked).await;
    let parked = shown(&world, &xid).await;
    let statuses: Vec<_> = parked.branches.iter().map(|branch| (&*branch.resource_id, branch.status)).collect();
    assert_eq!(statuses, [("stock", BranchStatus::Parked), ("stock", BranchStatus::Parked)], "both, and no other");
    assert_eq!(
        parked.locks.iter().map(|lock| (&*lock.resource_id, lock.parked)).collect::<Vec<_>>(),
        [("stock", true)]
    );
    assert_eq!((parked.reason, world.balances().await), (Some(Reason::Failed), vec![100, 102, 100]));
    assert_eq!(world.dtx.transactions(&TransactionFilter::stuck(Duration::ZERO)).await.unwrap().len(), 1);

    sqlx::query("alter table undo_away rename to undo_log").execute(world.at[1].pool()).await.unwrap();
    drop(worker);
    world.dtx.recover().await.unwrap();
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::RolledBack));
    assert_eq!(world.balances().await, [100, 100, 100]);
    world.quiet().await;
    assert!(world.dtx.locks().await.unwrap().is_empty());
}
