//! Undo goes backwards, step by step and row by row, so that no constraint stands in its way.

use onceward_dtx::{DtxError, Options};
use sqlx::Executor;

use crate::world::World;

/// Runs the statements in one branch, rolls back, and expects every row of `table` to be what it was.
async fn comes_back(setup: &'static str, statements: &[&'static str], table: &str) {
    let world = World::new().await;
    let pool = world.at[0].pool();
    sqlx::raw_sql(setup).execute(pool).await.unwrap();
    let rows = async || -> Vec<String> {
        let text = format!("select id || ':' || coalesce(a, 0) || ':' || coalesce(b, '-') from {table} order by id");
        sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_all(pool).await.unwrap()
    };
    let before = rows().await;
    let answer = world
        .dtx
        .run(Options::new("order"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    for statement in statements {
                        tx.execute(*statement).await?;
                    }
                    Ok::<_, DtxError>(())
                })
                .await?;
            assert_ne!(rows().await, before);
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
    assert_eq!(rows().await, before);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_was_deleted_by_one_statement() {
    comes_back(
        "create table tree (id bigint primary key, a bigint references tree (id), b text);
         insert into tree values (5, null, 'root'), (1, 5, 'leaf'), (9, 1, 'leaf of a leaf')",
        &["delete from tree"],
        "tree",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_and_its_child_that_were_inserted() {
    comes_back(
        "create table parent (id bigint primary key, a bigint, b text);
         create table child (id bigint primary key, parent bigint not null references parent (id));
         insert into parent values (1, 1, 'b')",
        &["insert into parent values (2, 2, 'c')", "insert into child values (1, 2)", "update parent set a = 3"],
        "parent",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_values_that_moved_up() {
    comes_back(
        "create table place (id bigint primary key, a bigint unique, b text);
         insert into place values (1, 10, 'x'), (2, 11, 'y'), (3, 12, 'z')",
        &["update place set a = a - 1"],
        "place",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_values_that_changed_places() {
    comes_back(
        "create table place (id bigint primary key, a bigint unique, b text);
         insert into place values (1, 10, 'x'), (2, 11, 'y')",
        &[
            "update place set a = -1 where id = 1",
            "update place set a = 10 where id = 2",
            "update place set a = 11 where id = 1",
        ],
        "place",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_deleted_and_inserted_again() {
    comes_back(
        "create table thing (id text primary key, a bigint, b text); insert into thing values ('k', 1, 'x')",
        &[
            "delete from thing",
            "insert into thing values ('k', 2, null)",
            "delete from thing",
            "insert into thing values ('k', 3, 'y')",
        ],
        "thing",
    )
    .await;
}
