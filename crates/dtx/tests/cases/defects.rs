//! Defects that users of other AT implementations reported, each kept away by a test. `DESIGN.md` has the list.

use onceward_dtx::{AtTransaction, DtxError, Options};
use sqlx::{AssertSqlSafe, Executor};

use crate::disk::Db;
use crate::world::World;

async fn world(texts: &[&'static str]) -> World {
    let world = World::new().await;
    for &text in texts {
        world.at[0].pool().execute(text).await.unwrap();
    }
    world
}

/// Runs each list of statements in a branch of its own, and rolls the whole back.
async fn undone(world: &World, branches: &[&[&'static str]]) {
    let answer = world.dtx.run(Options::new("undone"), async |_| {
        for &texts in branches {
            let work = async |mut tx: AtTransaction<Db>| {
                for &text in texts {
                    tx.execute(text).await.inspect_err(|_| println!("{text}"))?;
                }
                Ok::<_, DtxError>(())
            };
            world.at[0].branch(work).await?;
        }
        Err::<(), _>(DtxError::NoTransaction)
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
    world.quiet().await;
}

async fn numbers(world: &World, text: &'static str) -> Vec<(i64, i64)> {
    sqlx::query_as(text).fetch_all(world.at[0].pool()).await.unwrap()
}

const ACCOUNTS: &str = "select id, balance from account order by id";

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_met_a_row_does_not_delete_it_when_it_is_undone() {
    let world = world(&[]).await;
    undone(&world, &[&["insert into account values (1, 'x', 0), (3, 'x', 0) on conflict do nothing"]]).await;
    assert_eq!(numbers(&world, ACCOUNTS).await, [(1, 100), (2, 100)]);
    for upsert in [
        "insert into account values (1, 'x', 0) on conflict (id) do update set balance = 0",
        "insert or ignore into account values (1, 'x', 0)",
        "insert or replace into account values (1, 'x', 0)",
        "replace into account values (1, 'x', 0)",
        "insert into account values (1, 'x', 0) on duplicate key update balance = 0",
    ] {
        let refused = world.dtx.run(Options::new("upsert"), async |_| {
            let mut tx = world.at[0].begin().await?;
            tx.execute(upsert).await?;
            tx.commit().await
        });
        let refused = refused.await;
        assert!(matches!(refused, Err(DtxError::Refused { .. })), "{upsert}: {refused:?}");
    }
    assert_eq!(numbers(&world, ACCOUNTS).await, [(1, 100), (2, 100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_branch_deletes_and_the_next_inserts_is_the_transactions_own() {
    let world = world(&[]).await;
    let again = "insert into account values (1, 'new', 5)";
    undone(
        &world,
        &[&["delete from account where id = 1"], &[again], &["update account set balance = 6 where id = 1"]],
    )
    .await;
    undone(&world, &[&["delete from account where id = 1", again, "delete from account where id = 1", again]]).await;
    assert_eq!(numbers(&world, ACCOUNTS).await, [(1, 100), (2, 100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_follow_each_other_at_once_are_undone_in_reverse() {
    let world = world(&[]).await;
    let double: &[&str] = &["update account set balance = balance * 2 + 1 where id = 1"];
    undone(&world, &[double; 24]).await;
    assert_eq!(numbers(&world, ACCOUNTS).await, [(1, 100), (2, 100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_is_left_to_the_database() {
    let world = world(&[
        "create table made (id integer primary key, a bigint, twice bigint generated always as (a * 2) stored unique)",
        "insert into made (id, a) values (1, 10), (2, 20)",
    ])
    .await;
    undone(
        &world,
        &[&[
            "update made set a = a + 1",
            "delete from made where id = 1",
            "insert into made (id, a) values (3, 10)",
            "delete from made",
        ]],
    )
    .await;
    assert_eq!(numbers(&world, "select a, twice from made order by id").await, [(10, 20), (20, 40)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_keywords_or_need_quotes_are_quoted() {
    let world = world(&[
        "create table \"order\" (\"select\" integer primary key, \"group by\" bigint, \"it's \"\"so\"\"\" bigint unique)",
        "insert into \"order\" values (1, 10, 7)",
    ])
    .await;
    undone(
        &world,
        &[&[
            "update \"order\" set \"group by\" = 11, \"it's \"\"so\"\"\" = 8 where \"select\" = 1",
            "insert into \"order\" values (2, 20, 7) returning \"select\"",
            "delete from \"order\" where \"select\" = 1",
        ]],
    )
    .await;
    let text = "select \"group by\", \"it's \"\"so\"\"\" from \"order\"";
    assert_eq!(numbers(&world, text).await, [(10, 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_has_one_lock_however_its_table_is_written() {
    let world = world(&[]).await;
    for (at, other) in ["ACCOUNT", "Account", "\"account\"", "account as \"ACCOUNT\""].into_iter().enumerate() {
        let first = "update account set balance = 1 where id = 1";
        let text = format!("update {other} set balance = {at} where id = 1");
        let answer = world.dtx.run(Options::new("holder"), async |_| {
            let mut tx = world.at[0].begin().await?;
            tx.execute(first).await?;
            tx.commit().await?;
            let (dtx, at) = (world.dtx.clone(), world.at[0].clone());
            let second = async move {
                let run = dtx.run(Options::new("other"), async |_| {
                    let mut tx = at.begin().await?;
                    tx.execute(AssertSqlSafe(text.as_str())).await?;
                    tx.commit().await
                });
                run.await
            };
            let met = tokio::spawn(second).await.unwrap();
            assert!(
                matches!(&met, Err(DtxError::LockConflict { table, .. }) if table == "account"),
                "{other}: {met:?}"
            );
            Err::<(), _>(DtxError::NoTransaction)
        });
        assert!(matches!(answer.await, Err(DtxError::NoTransaction)));
    }
    assert_eq!(numbers(&world, ACCOUNTS).await, [(1, 100), (2, 100)]);
    world.quiet().await;
}
