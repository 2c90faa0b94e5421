//! What is not covered for certain is refused before it runs, with the reason and the way out.

use std::sync::Arc;

use onceward_backend::sqlite;
use onceward_dtx::{At, AtOptions, Dtx, DtxError, DtxOptions, MemoryStore, Options, SqlStore, Tc, TcOptions};
use sqlx::{Executor, Sqlite};

use crate::world::World;

const TABLES: &[&str] = &[
    "create table bare (a integer)",
    "create table triggered (id integer primary key, a)",
    "create trigger loud after insert on triggered begin update account set balance = 0; end",
    "create table parent (id integer primary key, code text unique)",
    "create table child (id integer primary key, parent integer references parent (id) on delete cascade)",
    "create table other (id integer primary key, code text references parent (code) on update set null)",
    "create table doubled (id integer primary key, a integer, code integer as (a * 2) stored unique)",
    "create table halves (id integer primary key, code integer references doubled (code) on update set null)",
    "create view seen as select * from account",
    "create virtual table found using fts5 (a)",
    "create table replacing (id integer primary key, a text unique on conflict replace)",
    "create table folded (id text primary key collate nocase, a)",
    "create table expressive (id integer primary key, a text)",
    "create unique index lower_a on expressive (lower(a))",
    "create table nullable (id text primary key, a)",
    "create table generated (id integer primary key, a integer, b integer as (a * 2) stored, c as (a + 1))",
    "create table untyped (id primary key, a) without rowid",
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_cannot_be_undone_for_certain() {
    let world = World::new().await;
    for table in TABLES {
        sqlx::query(*table).execute(world.at[0].pool()).await.unwrap();
    }
    for (text, part) in [
        ("insert into bare values (1)", "no primary key"),
        ("insert into triggered values (1, 1)", "trigger loud"),
        ("delete from parent", "foreign key from child cascades"),
        ("insert into parent values (1, 'x')", "foreign key from child cascades"),
        ("select 1 --\0delete from account", "NUL"),
        ("update parent set code = 'x'", "foreign key from other cascades"),
        ("update doubled set a = 6", "foreign key from halves cascades"),
        ("update seen set balance = 1", "no ordinary table"),
        ("insert into found values ('x')", "no ordinary table"),
        ("insert into replacing values (1, 'x')", "ON CONFLICT"),
        ("insert into folded values ('x', 1)", "collation"),
        ("insert into nullable values (null, 1)", "is NULL"),
        ("update account set id = 9 where id = 1", "primary key"),
        ("update account set rowid = 9 where id = 1", "rowid"),
        ("insert into nowhere values (1)", "unknown table"),
        ("delete from undo_log", "bookkeeping"),
        ("delete from dtx_parked", "bookkeeping"),
        ("delete from onceward_migrations", "bookkeeping"),
        ("delete from sqlite_schema", "bookkeeping"),
        ("update only account set balance = 1", ""),
        ("create table more (id integer primary key)", "schema"),
        ("pragma user_version = 3", "setting"),
        ("commit", "transaction control"),
    ] {
        let answer = world
            .dtx
            .run(Options::new(text), async |_| {
                world.at[0]
                    .branch(async |mut tx| {
                        tx.execute(text).await?;
                        Ok::<_, DtxError>(())
                    })
                    .await
            })
            .await;
        match answer {
            Err(DtxError::Refused { part: found, instead }) => {
                assert!(found.contains(part), "{text}: {found}");
                assert!(!instead.is_empty());
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let count: i64 = sqlx::query_scalar("select count(*) from nullable").fetch_one(world.at[0].pool()).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn their_harmless_neighbours_are_covered() {
    let world = World::new().await;
    for table in TABLES {
        sqlx::query(*table).execute(world.at[0].pool()).await.unwrap();
    }
    let answer = world
        .dtx
        .run(Options::new("neighbours"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    tx.execute("insert into child values (1, null), (2, null)").await?;
                    tx.execute("delete from child where id = 1").await?;
                    tx.execute("insert into nullable values ('k', 1)").await?;
                    tx.execute("insert into generated (id, a) values (1, 2)").await?;
                    tx.execute("update generated set a = 3").await?;
                    tx.execute("insert into untyped values (1, 'one'), ('1', 'text one'), (1.5, null), (x'01', 2)")
                        .await?;
                    tx.execute("update untyped set a = 9 where id = '1'").await?;
                    Ok::<_, DtxError>(())
                })
                .await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    for table in ["parent", "child", "nullable", "generated", "untyped"] {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(world.at[0].pool())
            .await
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_leaves_the_branch_usable() {
    let world = World::new().await;
    world
        .dtx
        .run(Options::new("goes on"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    assert!(tx.execute("replace into account values (1, 'x', 0)").await.is_err());
                    assert!(
                        sqlx::query("update account set balance = ?").execute(&mut *tx).await.is_err(),
                        "an argument is missing"
                    );
                    tx.execute("update account set balance = 3 where id = 1").await?;
                    Ok::<_, DtxError>(())
                })
                .await
        })
        .await
        .unwrap();
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(3), Some(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_does_not_shadow_the_planned_one() {
    let world = World::new().await;
    let answer = world
        .dtx
        .run(Options::new("shadow"), async |_| {
            let mut tx = world.at[0].begin().await?;
            let conn = onceward_backend::Conn::uncaptured(&mut tx);
            sqlx::query("create temp table account (id integer primary key, balance)").execute(conn).await?;
            tx.execute("update account set balance = 3").await?;
            Ok::<_, DtxError>(())
        })
        .await;
    assert!(matches!(answer, Err(DtxError::Refused { .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_trigger_of_one_connection_does_not_slip_past_a_shared_plan() {
    let world = World::new().await;
    let update = async || {
        let run = world.dtx.run(Options::new("trigger"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    tx.execute("update account set balance = 3 where id = 1").await?;
                    Ok::<_, DtxError>(())
                })
                .await
        });
        run.await
    };
    update().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..world.at[0].pool().options().get_max_connections() {
        let mut conn = world.at[0].pool().acquire().await.unwrap();
        let trigger = "create temp trigger loud after update on main.account begin select 1; end";
        sqlx::query(trigger).execute(&mut *conn).await.unwrap();
        held.push(conn);
    }
    drop(held);
    assert!(matches!(update().await, Err(DtxError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_that_cannot_work_are_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tc.db");
    let store = SqlStore::<Sqlite>::open(&file).await.unwrap();
    let dtx = Dtx::new(Arc::new(Tc::new(Arc::new(store), TcOptions::default())), DtxOptions::default());
    let problem = async |id: &str, pool| match At::<Sqlite>::new(id, pool, &dtx, AtOptions::default()).await {
        Err(DtxError::Resource { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let found = problem("same", sqlite::open(path).await.unwrap()).await;
        assert!(found.contains("coordinator"), "{found}");
    }
    assert!(problem("memory", sqlite::memory().await.unwrap()).await.contains("memory"));
    let columns = "branch_id bigint, xid text, context text, rollback_info blob, log_status bigint, log_created bigint";
    for (name, columns, part) in [
        ("other", "id integer primary key, what text", "columns"),
        ("unkeyed", &format!("{columns}, log_modified bigint"), "unique key"),
    ] {
        let odd = sqlite::open(folder.path().join(name)).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("create table undo_log ({columns})"))).execute(&odd).await.unwrap();
        let found = problem(name, odd).await;
        assert!(found.contains(part), "{found}");
    }
    let foreign = sqlite::open(folder.path().join("foreign")).await.unwrap();
    let text = format!(
        "create table undo_log ({columns}, log_modified bigint, id integer primary key, unique (xid, branch_id))"
    );
    sqlx::query(sqlx::AssertSqlSafe(text)).execute(&foreign).await.unwrap();
    At::<Sqlite>::new("foreign", foreign, &dtx, AtOptions::default()).await.unwrap();
    let pool = sqlite::open(folder.path().join("one.db")).await.unwrap();
    At::<Sqlite>::new("one", pool.clone(), &dtx, AtOptions::default()).await.unwrap();
    assert!(problem("one", pool.clone()).await.contains("that id"));
    assert!(problem("again", pool).await.contains("file is that of resource one"));

    let memory = Dtx::new(Arc::new(Tc::new(Arc::new(MemoryStore::new()), TcOptions::default())), DtxOptions::default());
    let pool = sqlite::open(folder.path().join("two.db")).await.unwrap();
    At::<Sqlite>::new("two", pool, &memory, AtOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_could_release_is_not_held() {
    let world = World::new().await;
    let answer = world
        .dtx
        .run(Options::new("hold"), async |_| {
            let mut tx = world.at[1].begin().await?;
            assert!(onceward_backend::Conn::hold(&mut tx).is_some());
            tx.commit().await
        })
        .await;
    assert!(matches!(answer, Err(DtxError::Resource { .. })), "{answer:?}");
}
