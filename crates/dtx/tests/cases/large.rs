//! Undo records larger than one row takes.

use onceward_dtx::{AtTransaction, DtxError, Options, RepairAction};
use testkit::Rng;

use crate::disk::{BLOBS, Db};
use crate::world::World;

async fn world() -> World {
    let world = World::new().await;
    sqlx::raw_sql(BLOBS).execute(world.at[0].pool()).await.unwrap();
    world
}

/// Bytes that cannot be packed.
fn noise(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..3 * 1024 * 1024 / 8).flat_map(|_| rng.next_u64().to_be_bytes()).collect()
}

async fn put(mut tx: AtTransaction<Db>) -> Result<(), DtxError> {
    for id in 1..=3_i64 {
        let insert = sqlx::query("insert into blobs values ($1, $2)").bind(id).bind(noise(id.unsigned_abs()));
        insert.execute(&mut *tx).await?;
    }
    Ok(())
}

/// Puts in blobs, runs `between` when that is committed locally, and fails.
async fn undone(world: &World, between: &'static str) -> Result<(), DtxError> {
    let run = world.dtx.run(Options::new("large"), async |_| {
        world.at[0].branch(put).await?;
        assert!(count(world, "dtx_undo_part").await > 1, "9 MiB in rows of four");
        if !between.is_empty() {
            sqlx::query(between).execute(world.at[0].pool()).await.unwrap();
        }
        Err(DtxError::NoTransaction)
    });
    run.await
}

async fn count(world: &World, table: &str) -> i64 {
    let text = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(text).fetch_one(world.at[0].pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_undone_whole_and_forgotten_whole() {
    let world = world().await;
    let answer = undone(&world, "").await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
    assert_eq!((count(&world, "blobs").await, count(&world, "dtx_undo_part").await), (0, 0));
    world.dtx.run(Options::new("kept"), async |_| world.at[0].branch(put).await).await.unwrap();
    world.dtx.recover().await.unwrap();
    world.quiet().await;
    assert_eq!((count(&world, "blobs").await, count(&world, "dtx_undo_part").await), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lacks_a_part_is_parked_and_never_half_undone() {
    let world = world().await;
    let answer = undone(&world, "delete from dtx_undo_part where part = 0").await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    assert_eq!(count(&world, "blobs").await, 3);
    let parked = world.dtx.parked().await.unwrap();
    assert!(parked[0].reason.contains("a part of it is missing"), "{parked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_one_is_shown_and_restored_whole() {
    let world = world().await;
    let answer = undone(&world, "update blobs set bytes = null where id = 2").await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let parked = world.dtx.parked().await.unwrap();
    let branch = world.dtx.inspect(&parked[0]).await.unwrap().unwrap();
    assert_eq!((branch.rows.len(), &branch.rows[1].differs), (3, &vec!["bytes".to_owned()]));
    world.dtx.repair(&branch.repair(RepairAction::Restore, "test")).await.unwrap();
    assert_eq!(count(&world, "blobs").await, 0);
    assert!(count(&world, "dtx_undo_part").await > 0, "they stay with the record of the repair");
    world.quiet().await;
}
