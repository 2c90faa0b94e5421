//! Partitions, and rows that are read to be locked.

use std::sync::Arc;

use futures_util::TryStreamExt;
use onceward_dtx::{AtOptions, AtTransaction, DtxError, Options, TableOptions};
use sqlx::postgres::PgRow;
use sqlx::{Executor, Postgres, Row};

use crate::equal::{apart, one};
use crate::world::{World, add};

type Tx = AtTransaction<Postgres>;

async fn world(text: &'static str) -> World {
    let world = World::new().await;
    world.at[0].pool().execute(text).await.unwrap();
    world
}

/// Runs statements in a branch of a transaction that is rolled back.
async fn undone(world: &World, texts: &[&'static str]) {
    let work = async |mut tx: Tx| {
        for &text in texts {
            tx.execute(text).await.inspect_err(|_| println!("{text}"))?;
        }
        Ok::<_, DtxError>(())
    };
    let answer = world
        .dtx
        .run(Options::new("undone"), async |_| {
            world.at[0].branch(work).await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
}

async fn rows(world: &World, text: &'static str) -> Vec<String> {
    sqlx::query_scalar(text).fetch_all(world.at[0].pool()).await.unwrap()
}

const SPLIT: &str = "
    create table part (place text, id bigint, gone integer, n integer, primary key (id, place)) partition by list (place);
    create table part_a partition of part for values in ('a');
    create table part_b (n integer, id bigint not null, spare integer, place text not null, gone integer);
    alter table part_b drop column spare;
    alter table part attach partition part_b for values in ('b');
    alter table part drop column gone;
    insert into part values ('a', 1, 1), ('b', 1, 2), ('b', 2, 3)";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_partitions_go_back_to_where_they_were() {
    let world = world(SPLIT).await;
    let all = "select tableoid::regclass::text || row(part.*)::text from part order by 1";
    let start = rows(&world, all).await;
    undone(
        &world,
        &[
            "update part set n = n + 10",
            "insert into part values ('a', 7, 7), ('b', 7, 7) returning *",
            "delete from part where place = 'b' and id < 7 returning id",
            "update part set n = 0 from part as other where other.id = part.id and part.place = 'a'",
        ],
    )
    .await;
    assert_eq!(rows(&world, all).await, start);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_came_since_is_met_by_a_retry() {
    let world = world(SPLIT).await;
    undone(&world, &["insert into part values ('a', 7, 7)"]).await;
    world.at[0].pool().execute("create table part_c partition of part for values in ('c')").await.unwrap();
    let insert = async |mut tx: Tx| {
        tx.execute("insert into part values ('c', 1, 1)").await?;
        Ok::<_, DtxError>(())
    };
    let run = || world.dtx.run(Options::new("new"), async |_| world.at[0].branch(insert).await);
    match run().await {
        // The catalogue was read anew in between.
        Ok(()) => {}
        Err(DtxError::Moved { .. }) => run().await.unwrap(),
        Err(other) => panic!("{other:?}"),
    }
    world.dtx.recover().await.unwrap();
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_of_a_partition_that_came_since_is_not_passed_over() {
    let world = world(SPLIT).await;
    undone(&world, &["insert into part values ('a', 7, 7)"]).await;
    let come = "create function elsewhere() returns trigger language plpgsql as \
                $$ begin update account set balance = 0; return new; end $$; \
                create table part_c partition of part for values in ('c'); \
                create trigger elsewhere before insert on part_c for each row execute function elsewhere()";
    world.at[0].pool().execute(come).await.unwrap();
    let insert = async |mut tx: Tx| {
        tx.execute("insert into part values ('c', 1, 1)").await?;
        Ok::<_, DtxError>(())
    };
    let run = || world.dtx.run(Options::new("new"), async |_| world.at[0].branch(insert).await);
    let first = run().await.unwrap_err();
    let last = if matches!(first, DtxError::Moved { .. }) { run().await.unwrap_err() } else { first };
    assert!(last.to_string().contains("trigger elsewhere"), "{last}");
    assert_eq!(world.balance(0, 1).await, Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_read_for_update_are_not_another_transactions() {
    let world = World::new().await;
    const READ: &str = "select balance, owner from account where id = 1 for update";
    let read = |rows: Vec<PgRow>| -> (i64, String) { (rows[0].get(0), rows[0].get("owner")) };
    let mut met = None;
    world
        .dtx
        .run(Options::new("writer"), async |_| {
            add(&world.at[0], 1).await?;
            assert_eq!(read(one(&world.at[0], READ).await?), (101, "ann".to_owned()), "its own row");
            met = Some(apart(&world, READ).await.map(drop));
            Ok::<_, DtxError>(())
        })
        .await
        .unwrap();
    assert!(matches!(met, Some(Err(DtxError::LockConflict { .. }))), "{met:?}");
    assert_eq!(read(apart(&world, READ).await.unwrap()).0, 101, "decided meanwhile");
    world.dtx.recover().await.unwrap();
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_read_for_update_stay_as_they_were_read_until_the_decision() {
    let world = World::new().await;
    world
        .dtx
        .run(Options::new("reader"), async |_| {
            let work = async |mut tx: Tx| {
                let rows = tx.fetch_all("select id from account order by id for update").await?;
                assert_eq!(rows.len(), 2);
                tx.execute("update account set balance = 5 where id = 2").await?;
                Ok::<_, DtxError>(())
            };
            world.at[0].branch(work).await?;
            let writer = apart(&world, "update account set balance = 1 where id = 1").await;
            assert!(matches!(writer, Err(DtxError::LockConflict { .. })), "{writer:?}");
            Ok::<_, DtxError>(())
        })
        .await
        .unwrap();
    world.dtx.recover().await.unwrap();
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_that_a_query_locks_are_locked_however_many_are_fetched() {
    const READ: &str = "select id from account order by id for update";
    let world = World::new().await;
    let one = async |tx: &mut Tx| tx.fetch_one(READ).await.map(drop);
    let optional = async |tx: &mut Tx| tx.fetch_optional(READ).await.map(drop);
    let stream = async |tx: &mut Tx| tx.fetch(READ).try_next().await.map(drop);
    for way in 0..3 {
        let answer = world.dtx.run(Options::new("reader"), async |_| {
            let mut tx = world.at[0].begin().await?;
            match way {
                0 => one(&mut tx).await?,
                1 => optional(&mut tx).await?,
                _ => stream(&mut tx).await?,
            }
            tx.execute("update account set balance = balance where id = 1").await?;
            tx.commit().await?;
            let other = apart(&world, "update account set balance = 0 where id = 2").await;
            assert!(matches!(other, Err(DtxError::LockConflict { .. })), "{way}: {other:?}");
            Err::<(), _>(DtxError::NoTransaction)
        });
        assert!(matches!(answer.await, Err(DtxError::NoTransaction)));
    }
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_partition_was_detached_since_is_parked() {
    let world = world(SPLIT).await;
    let answer = world.dtx.run(Options::new("detached"), async |_| {
        one(&world.at[0], "insert into part values ('a', 7, 7)").await?;
        world.at[0].pool().execute("alter table part detach partition part_a").await.unwrap();
        Err::<(), _>(DtxError::NoTransaction)
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    assert_eq!(rows(&world, "select n::text from part_a order by n").await, ["1", "7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_fires_behind_its_row_is_never_trusted() {
    let world = world(
        "create table t (id integer primary key);
         create function silent() returns trigger language plpgsql as 'begin return null; end';
         create trigger silent after insert on t for each row execute function silent()",
    )
    .await;
    let disk = Arc::clone(&world.disk);
    drop(world);
    let trusting = || AtOptions::default().with_table(TableOptions::new("t").with_trusted_trigger("silent"));
    let world = World::open(disk, trusting).await;
    let answer = apart(&world, "insert into t values (1)").await;
    assert!(matches!(&answer, Err(DtxError::Refused { part, .. }) if part.contains("not BEFORE")), "{answer:?}");
}
