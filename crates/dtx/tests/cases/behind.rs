//! Undo records that came back after their transaction was over, as after a restore of the database.

use std::time::Duration;

use onceward_dtx::{DtxError, GlobalStatus, Options};

use crate::world::{World, add};

const COPY: [&str; 2] =
    ["create table undo_copy as select * from undo_log", "insert into undo_log select * from undo_copy"];

async fn run_sql(world: &World, text: &'static str) {
    sqlx::query(text).execute(world.at[0].pool()).await.unwrap();
}

/// A transaction that ended, of which the undo record is there again; in the first database its work as well.
async fn came_back(world: &World, commit: bool) -> String {
    let mut xid = String::new();
    let run = world.dtx.run(Options::new("came back"), async |global| {
        xid = global.xid().to_owned();
        add(&world.at[0], 7).await?;
        run_sql(world, COPY[0]).await;
        if commit { Ok(()) } else { Err(DtxError::NoTransaction) }
    });
    assert_eq!(run.await.is_ok(), commit);
    world.dtx.recover().await.unwrap();
    let over = if commit { GlobalStatus::Committed } else { GlobalStatus::RolledBack };
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(over));
    run_sql(world, COPY[1]).await;
    if !commit {
        run_sql(world, "update account set balance = balance + 7 where id = 1").await;
    }
    assert_eq!((world.dtx.undo_rows().await.unwrap().len(), world.balance(0, 1).await), (1, Some(107)));
    xid
}

#[tokio::test(flavor = "multi_thread")]
async fn they_end_as_their_transaction_did() {
    for (commit, meddled) in [(true, false), (false, false), (false, true)] {
        let world = World::new().await;
        came_back(&world, commit).await;
        if meddled {
            run_sql(&world, "update account set balance = 5 where id = 1").await;
        }
        let young = world.dtx.settle_left_behind(Duration::from_secs(60 * 60)).await.unwrap();
        assert_eq!(
            (young, world.dtx.undo_rows().await.unwrap().len()),
            (Default::default(), 1),
            "it may be on its way"
        );
        let found = world.dtx.settle_left_behind(Duration::ZERO).await.unwrap();
        let counts = [found.forgotten, found.undone, found.parked, found.unknown, found.failed];
        let (expected, balance) = match (commit, meddled) {
            (true, _) => ([1, 0, 0, 0, 0], 107),
            (false, false) => ([0, 1, 0, 0, 0], 100),
            (false, true) => ([0, 0, 1, 0, 0], 5),
        };
        assert_eq!((counts, world.balance(0, 1).await), (expected, Some(balance)));
        assert!(world.dtx.undo_rows().await.unwrap().is_empty());
        assert_eq!(world.dtx.parked().await.unwrap().len(), usize::from(meddled));
        assert_eq!(world.dtx.settle_left_behind(Duration::ZERO).await.unwrap(), Default::default(), "parked is parked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_of_one_row_are_undone_from_the_last_to_the_first() {
    for (steps, left) in [([7, -7], 100), ([7, 7], 114)] {
        let world = World::new().await;
        let run = world.dtx.run(Options::new("twice"), async |_| {
            for by in steps {
                add(&world.at[0], by).await?;
            }
            run_sql(&world, COPY[0]).await;
            Err::<(), _>(DtxError::NoTransaction)
        });
        run.await.unwrap_err();
        run_sql(&world, COPY[1]).await;
        let lost = format!("update account set balance = {left} where id = 1");
        sqlx::query(sqlx::AssertSqlSafe(lost)).execute(world.at[0].pool()).await.unwrap();
        let first = "update undo_log set log_created = log_created - 7200000000 \
                     where log_created = (select min(log_created) from undo_log where log_status = 0) and log_status = 0";
        run_sql(&world, first).await;
        let young = world.dtx.settle_left_behind(Duration::from_secs(60 * 60)).await.unwrap();
        assert_eq!((young, world.dtx.undo_rows().await.unwrap().len()), (Default::default(), 2), "the last one waits");
        let found = world.dtx.settle_left_behind(Duration::ZERO).await.unwrap();
        assert_eq!((found.undone, found.parked, world.balance(0, 1).await), (2, 0, Some(100)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_ends_them_before_the_outcome_is_forgotten() {
    let world = World::new().await;
    came_back(&world, false).await;
    world.dtx.recover().await.unwrap();
    assert_eq!((world.dtx.undo_rows().await.unwrap().len(), world.balance(0, 1).await), (0, Some(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_does_not_answer_keeps_no_other_waiting() {
    let world = World::new().await;
    came_back(&world, false).await;
    for at in &world.at[1..] {
        sqlx::query("alter table undo_log rename to away").execute(at.pool()).await.unwrap();
    }
    let found = world.dtx.settle_left_behind(Duration::ZERO).await.unwrap();
    assert_eq!((found.undone, found.failed, world.balance(0, 1).await), (1, world.at.len() - 1, Some(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_or_has_not_decided_is_left_alone() {
    let world = World::new().await;
    came_back(&world, true).await;
    run_sql(&world, "update undo_log set xid = 'of another coordinator'").await;
    let run = world.dtx.run(Options::new("open"), async |_| {
        add(&world.at[1], 7).await?;
        let found = world.dtx.settle_left_behind(Duration::ZERO).await?;
        assert_eq!((found.unknown, found.forgotten + found.undone + found.parked + found.failed), (1, 0));
        assert_eq!(world.dtx.undo_rows().await?.len(), 2);
        Ok::<_, DtxError>(())
    });
    run.await.unwrap();
    let committing = world.dtx.settle_left_behind(Duration::ZERO).await.unwrap();
    assert_eq!((committing.unknown, world.dtx.undo_rows().await.unwrap().len()), (1, 2));
}
