//! Parts of a branch that are taken back alone: what stays is what is undone later.

use onceward_backend::Conn;
use onceward_dtx::{AtTransaction, DtxError, Options};

use crate::disk::{Db, DbExecutor};
use crate::world::World;

async fn set(executor: impl DbExecutor<'_>, id: i64, balance: i64) -> sqlx::Result<u64> {
    let query = sqlx::query("update account set balance = $1 where id = $2").bind(balance).bind(id);
    Ok(query.execute(executor).await?.rows_affected())
}

/// A statement that the database refuses.
async fn breaks(executor: impl DbExecutor<'_>) {
    let broken = sqlx::query("insert into account values (1, 'twice', 0)").execute(executor).await;
    broken.unwrap_err();
}

/// Runs `work` in a branch that is committed globally, answers both balances, then the same once more rolled back.
async fn kept<F>(world: &World, work: impl Fn(AtTransaction<Db>) -> F + Send + Sync) -> Vec<i64>
where
    F: Future<Output = Result<(), DtxError>> + Send,
{
    let before = [world.balance(0, 1).await, world.balance(0, 2).await];
    let undone = world
        .dtx
        .run(Options::new("undone"), async |_| {
            world.at[0].branch(&work).await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(undone, Err(DtxError::NoTransaction)), "{undone:?} {:?}", world.dtx.parked().await);
    assert_eq!([world.balance(0, 1).await, world.balance(0, 2).await], before, "taken back");
    world.dtx.run(Options::new("kept"), async |_| world.at[0].branch(&work).await).await.unwrap();
    world.dtx.recover().await.unwrap();
    world.quiet().await;
    vec![world.balance(0, 1).await.unwrap(), world.balance(0, 2).await.unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_taken_back_leaves_what_was_before_and_comes_after() {
    let world = World::new().await;
    let left = kept(&world, async |mut tx| {
        set(&mut *tx, 1, 10).await?;
        let mut part = tx.savepoint().await?;
        set(&mut *part, 1, 20).await?;
        set(&mut *part, 2, 20).await?;
        part.rollback().await?;
        set(&mut *tx, 2, 30).await?;
        Ok(())
    });
    assert_eq!(left.await, [10, 30]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_statement_may_be_the_one_that_is_taken_back() {
    let world = World::new().await;
    let left = kept(&world, async |mut tx| {
        let mut part = tx.savepoint().await?;
        set(&mut *part, 1, 20).await?;
        part.rollback().await?;
        set(&mut *tx, 2, 30).await?;
        Ok(())
    });
    assert_eq!(left.await, [100, 30]);
    let left = kept(&world, async |mut tx| {
        let mut part = tx.savepoint().await?;
        set(&mut *part, 1, 20).await?;
        part.rollback().await
    });
    assert_eq!(left.await, [100, 30], "and nothing else may follow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_committed_is_one_with_the_branch() {
    let world = World::new().await;
    let left = kept(&world, async |mut tx| {
        let mut part = tx.savepoint().await?;
        set(&mut *part, 1, 20).await?;
        set(part.executor(), 1, 21).await?;
        part.commit().await?;
        set(&mut *tx, 2, 22).await?;
        Ok(())
    });
    assert_eq!(left.await, [21, 22]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_spoils_only_the_part_that_is_taken_back() {
    let world = World::new().await;
    let left = kept(&world, async |mut tx| {
        set(&mut *tx, 1, 10).await?;
        let mut part = tx.savepoint().await?;
        set(&mut *part, 2, 20).await?;
        breaks(&mut *part).await;
        let more = set(&mut *part, 2, 21).await.map_err(DtxError::from);
        assert!(matches!(more, Err(DtxError::RollbackOnly(_))), "{more:?}");
        part.rollback().await?;
        set(&mut *tx, 2, 30).await?;
        Ok(())
    });
    assert_eq!(left.await, [10, 30]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_part_cannot_be_committed_and_is_taken_back() {
    let world = World::new().await;
    let left = kept(&world, async |mut tx| {
        set(&mut *tx, 1, 10).await?;
        let mut part = tx.savepoint().await?;
        set(&mut *part, 2, 20).await?;
        breaks(&mut *part).await;
        let committed = part.commit().await;
        assert!(matches!(committed, Err(DtxError::RollbackOnly(_))), "{committed:?}");
        Ok(())
    });
    assert_eq!(left.await, [10, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_nest_and_a_dropped_one_takes_its_inner_parts_with_it() {
    let world = World::new().await;
    let left = kept(&world, async |mut tx| {
        let mut outer = tx.savepoint().await?;
        set(&mut *outer, 1, 20).await?;
        let mut inner = outer.savepoint().await?;
        set(&mut *inner, 1, 21).await?;
        drop(inner);
        set(&mut *outer, 2, 22).await?;
        let mut inner = outer.savepoint().await?;
        set(&mut *inner, 2, 23).await?;
        inner.commit().await?;
        outer.commit().await?;
        let mut dropped = tx.savepoint().await?;
        set(&mut *dropped, 1, 1).await?;
        let mut inner = dropped.savepoint().await?;
        set(&mut *inner, 2, 1).await?;
        breaks(&mut *inner).await;
        Ok(())
    });
    assert_eq!(left.await, [20, 23]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_past_the_capture_behind_a_dropped_part_is_never_lost_in_silence() {
    let world = World::new().await;
    let answer = world
        .dtx
        .run(Options::new("past"), async |_| {
            let mut tx = world.at[0].begin().await?;
            drop(tx.savepoint().await?);
            sqlx::query("insert into account values (9, 'past', 0)").execute(tx.uncaptured()).await?;
            tx.commit().await
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "{answer:?}");
    assert_eq!(world.balance(0, 9).await, None);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_outside_of_a_part_still_spoils_the_branch() {
    let world = World::new().await;
    let answer = world
        .dtx
        .run(Options::new("spoilt"), async |_| {
            let mut tx = world.at[0].begin().await?;
            breaks(&mut *tx).await;
            let part = tx.savepoint().await;
            assert!(matches!(part, Err(DtxError::RollbackOnly(_))), "{part:?}");
            drop(part);
            tx.commit().await
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "{answer:?}");
    world.quiet().await;
}
