//! Triggers that are declared harmless, and columns that undo treats as the user says.

use std::sync::Arc;

use onceward_dtx::{AtOptions, DtxError, Options, TableOptions};
use sqlx::AssertSqlSafe;

use crate::disk::{Db, FORBIDS, ROUNDS, TOUCHED};
use crate::world::World;

/// A table whose `version` a trigger counts up at every UPDATE.
async fn world(table: impl Fn(TableOptions) -> TableOptions) -> World {
    let world = World::new().await;
    for text in TOUCHED {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(world.at[0].pool()).await.unwrap();
    }
    let disk = Arc::clone(&world.disk);
    drop(world);
    World::open(disk, || AtOptions::<Db>::default().with_table(table(TableOptions::new("touched")))).await
}

async fn row(world: &World) -> (i64, i64, i64) {
    let row = sqlx::query_as("select amount, version, seen from touched where id = 1");
    row.fetch_one(world.at[0].pool()).await.unwrap()
}

/// Sets the amount, runs `between` when that is committed locally, and rolls back.
async fn undone(world: &World, between: &'static str) -> Result<(), DtxError> {
    world
        .dtx
        .run(Options::new("touch"), async |_| {
            let work = async |mut tx: onceward_dtx::AtTransaction<Db>| {
                sqlx::query("update touched set amount = 7 where id = 1").execute(&mut *tx).await?;
                Ok::<_, DtxError>(())
            };
            world.at[0].branch(work).await?;
            if !between.is_empty() {
                sqlx::query(between).execute(world.at[0].pool()).await.unwrap();
            }
            Err(DtxError::NoTransaction)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_nobody_trusts_is_refused() {
    for table in [(|table| table) as fn(TableOptions) -> _, |table| table.with_trusted_trigger("another")] {
        let world = world(table).await;
        let refused = undone(&world, "").await;
        assert!(matches!(&refused, Err(DtxError::Refused { part, .. }) if part.contains("touch_it")), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_trigger_changed_is_not_compared() {
    let world = world(|table| table.with_trusted_trigger("touch_it")).await;
    // The trigger fires again when the row is taken back.
    let back = undone(&world, "").await;
    assert!(matches!(back, Err(DtxError::NoTransaction)), "{back:?} {:?}", world.dtx.parked().await);
    assert_eq!(row(&world).await.0, 1);
    // Somebody else fires it meanwhile.
    let back = undone(&world, "update touched set seen = 5 where id = 1").await;
    assert!(matches!(back, Err(DtxError::NoTransaction)), "{back:?} {:?}", world.dtx.parked().await);
    assert_eq!((row(&world).await.0, row(&world).await.2), (1, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_the_statement_set_is_compared_unless_it_is_volatile() {
    let spoils = "update touched set amount = 9 where id = 1";
    let strict = world(|table| table.with_trusted_trigger("touch_it")).await;
    let parked = undone(&strict, spoils).await;
    assert!(matches!(parked, Err(DtxError::Parked { .. })), "{parked:?}");
    assert_eq!(row(&strict).await.0, 9);
    let lax = world(|table| table.with_trusted_trigger("touch_it").with_volatile("amount")).await;
    let back = undone(&lax, spoils).await;
    assert!(matches!(back, Err(DtxError::NoTransaction)), "{back:?}");
    assert_eq!(row(&lax).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_a_trusted_trigger_makes_something_else_of_is_parked() {
    let world = world(|table| table.with_trusted_trigger("touch_it").with_trusted_trigger("rounds")).await;
    sqlx::query("update touched set amount = 17 where id = 1").execute(world.at[0].pool()).await.unwrap();
    for text in ROUNDS {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(world.at[0].pool()).await.unwrap();
    }
    let answer = undone(&world, "").await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let parked = world.dtx.parked().await.unwrap();
    assert!(parked[0].reason.contains("which a trigger changes"), "{parked:?}");
    assert_eq!(row(&world).await.0, 0, "as the branch left it: 7, rounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_a_trusted_trigger_forbids_is_parked_at_once() {
    for text in FORBIDS {
        let world = world(|table| table.with_trusted_trigger("touch_it").with_trusted_trigger("forbids")).await;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(world.at[0].pool()).await.unwrap();
        let answer = undone(&world, "").await;
        assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
        let parked = world.dtx.parked().await.unwrap();
        assert!(parked.len() == 1 && parked[0].reason.contains("no way back"), "{parked:?}");
        assert_eq!(row(&world).await.0, 7, "as the branch left it");
        // The connection on which that happened serves on.
        sqlx::query("drop trigger forbids").execute(world.at[0].pool()).await.ok();
        sqlx::query("drop trigger forbids on touched").execute(world.at[0].pool()).await.ok();
        let branch = world.dtx.inspect(&parked[0]).await.unwrap().unwrap();
        world.dtx.repair(&branch.repair(onceward_dtx::RepairAction::Restore, "ann")).await.unwrap();
        assert_eq!(row(&world).await.0, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monotonic_column_never_goes_back() {
    let world = world(|table| table.with_trusted_trigger("touch_it").with_monotonic("seen")).await;
    let work = async |mut tx: onceward_dtx::AtTransaction<Db>| {
        sqlx::query("update touched set amount = 3, seen = seen + 1 where id = 1").execute(&mut *tx).await?;
        sqlx::query("update touched set amount = 4, seen = seen + 1 where id = 1").execute(&mut *tx).await?;
        Ok::<_, DtxError>(())
    };
    let back = world
        .dtx
        .run(Options::new("count"), async |_| {
            world.at[0].branch(work).await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(back, Err(DtxError::NoTransaction)), "{back:?} {:?}", world.dtx.parked().await);
    let (amount, _, seen) = row(&world).await;
    assert!(amount == 1 && seen > 2, "{amount} {seen}: a reader of version 2 must not take the row for unchanged");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_branches_that_count_one_row_up_are_both_taken_back() {
    let world = world(|table| table.with_trusted_trigger("touch_it").with_monotonic("seen")).await;
    let work = async |mut tx: onceward_dtx::AtTransaction<Db>| {
        sqlx::query("update touched set amount = amount + 3, seen = seen + 1 where id = 1").execute(&mut *tx).await?;
        Ok::<_, DtxError>(())
    };
    let back = world.dtx.run(Options::new("count twice"), async |_| {
        world.at[0].branch(work).await?;
        world.at[0].branch(work).await?;
        Err::<(), _>(DtxError::NoTransaction)
    });
    let back = back.await;
    assert!(matches!(back, Err(DtxError::NoTransaction)), "{back:?} {:?}", world.dtx.parked().await);
    assert_eq!(row(&world).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_there_is_refused() {
    let world = world(|table| table.with_trusted_trigger("touch_it").with_volatile("nowhere")).await;
    let refused = undone(&world, "").await;
    assert!(matches!(&refused, Err(DtxError::Refused { part, .. }) if part.contains("nowhere")), "{refused:?}");
}
