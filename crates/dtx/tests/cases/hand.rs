//! Global transactions that their owner decides by hand.

use std::time::Duration;

use onceward_dtx::{DtxError, GlobalStatus, Options, Reason, context};

use crate::world::{World, add, add_in_doubt};

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_effect_or_not_as_its_owner_says() {
    let world = World::new().await;
    let _worker = world.worker();
    for commit in [true, false] {
        let transaction = world.dtx.begin(Options::new("by hand")).await.unwrap();
        let xid = transaction.xid().to_owned();
        assert_eq!((transaction.global().xid(), transaction.global().name()), (&*xid, "by hand"));
        for at in &world.at[..2] {
            transaction.scope(add(at, 7)).await.unwrap();
        }
        assert!(context::current().is_none());
        assert!(matches!(add(&world.at[2], 7).await, Err(DtxError::NoTransaction)), "only in its scope");
        assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Active));
        if commit {
            transaction.commit().await.unwrap()
        } else {
            transaction.rollback().await.unwrap()
        }
        world.quiet().await;
        let end = if commit { GlobalStatus::Committed } else { GlobalStatus::RolledBack };
        assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(end));
        assert_eq!(world.balances().await, [107, 107, 100]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_it_is_rolled_back_by_the_worker() {
    let world = World::new().await;
    let _worker = world.worker();
    let transaction = world.dtx.begin(Options::new("dropped")).await.unwrap();
    transaction.scope(add(&world.at[0], 7)).await.unwrap();
    let xid = transaction.xid().to_owned();
    drop(transaction);
    testkit::eventually(Duration::from_secs(10), async || match world.dtx.status(&xid).await {
        Ok(Some(GlobalStatus::RolledBack)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(world.dtx.coordinator().reason(&xid).await.unwrap(), Some(Reason::Dropped));
    assert_eq!(world.balances().await, [100; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_another_one_it_is_its_own_and_a_run_in_it_joins() {
    let world = World::new().await;
    let _worker = world.worker();
    let answer = world
        .dtx
        .run(Options::new("outer"), async |outer| {
            add(&world.at[0], 7).await?;
            let own = world.dtx.begin(Options::new("own")).await?;
            assert_ne!(own.xid(), outer.xid());
            own.scope(world.dtx.run(Options::new("inner"), async |inner| {
                assert_eq!(inner.xid(), own.xid());
                add(&world.at[1], 7).await
            }))
            .await?;
            assert_eq!(context::current().unwrap().xid(), outer.xid());
            own.commit().await?;
            Err::<(), _>(DtxError::RollbackOnly("on purpose"))
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "{answer:?}");
    world.quiet().await;
    assert_eq!(world.balances().await, [100, 107, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_commit_in_doubt_cannot_be_committed() {
    let world = World::new().await;
    let _worker = world.worker();
    let transaction = world.dtx.begin(Options::new("doubt")).await.unwrap();
    transaction.scope(add(&world.at[0], 7)).await.unwrap();
    transaction.scope(add_in_doubt(&world, 1, transaction.xid())).await;
    let answer = transaction.commit().await;
    assert!(
        matches!(answer, Err(DtxError::RolledBack { reason: Reason::Doubt, .. } | DtxError::RollbackInProgress { .. })),
        "{answer:?}"
    );
    world.quiet().await;
    assert_eq!(world.balances().await, [100; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_run_that_was_given_up_dooms_it() {
    let world = World::new().await;
    let _worker = world.worker();
    let transaction = world.dtx.begin(Options::new("given up")).await.unwrap();
    let nested = world.dtx.run(Options::new("nested"), async |_| {
        add(&world.at[0], 7).await?;
        std::future::pending::<Result<(), DtxError>>().await
    });
    assert!(transaction.scope(tokio::time::timeout(Duration::from_millis(500), nested)).await.is_err());
    let answer = transaction.commit().await;
    assert!(matches!(answer, Err(DtxError::RolledBack { reason: Reason::Nested, .. })), "{answer:?}");
    assert_eq!(world.balances().await, [100; 3]);
    world.quiet().await;
}
