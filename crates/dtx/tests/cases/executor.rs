//! Unmodified sqlx calls in a branch: results are the user's own, and what happened half way is never committed.

use futures_util::{FutureExt, TryStreamExt};
use onceward_backend::Conn;
use onceward_dtx::{AtOptions, AtTransaction, DtxError, Options};
use sqlx::{Executor, QueryBuilder, Row, SqlSafeStr, Statement};

use crate::disk::{Db, DbExecutor, ENDS, SLOW};
use crate::world::World;

type Tx = AtTransaction<Db>;

/// Runs one branch in a transaction of its own.
async fn one<T, F>(world: &World, work: impl Fn(Tx) -> F + Send + Sync) -> Result<T, DtxError>
where
    T: Send,
    F: Future<Output = Result<T, DtxError>> + Send,
{
    world.dtx.run(Options::new("one branch"), async |_| world.at[0].branch(&work).await).await
}

async fn owner_of(executor: impl DbExecutor<'_>, id: i64) -> sqlx::Result<String> {
    sqlx::query_scalar("select owner from account where id = $1").bind(id).fetch_one(executor).await
}

async fn rename(executor: impl DbExecutor<'_>, id: i64, owner: &str) -> sqlx::Result<u64> {
    let done =
        sqlx::query("update account set owner = $1 where id = $2").bind(owner).bind(id).execute(executor).await?;
    Ok(done.rows_affected())
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Account {
    id: i64,
    owner: String,
    balance: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_run_a_statement_gives_the_users_own_results() {
    let world = World::new().await;
    one(&world, async |mut tx| {
        let done = tx.execute("insert into account values (3, 'cat', 0), (4, 'dan', 0)").await?;
        assert_eq!(done.rows_affected(), 2);

        let made: (i64, String) =
            sqlx::query_as("insert into account (owner, balance) values ($1, $2) returning id, owner")
                .bind("eve")
                .bind(5_i64)
                .fetch_one(&mut *tx)
                .await?;
        let (eve, owner) = made;
        assert!(owner == "eve" && eve > 4, "a generated key");

        let all: Vec<Account> = sqlx::query_as("update account set balance = balance + 1 where id > $1 returning *")
            .bind(3_i64)
            .fetch_all(&mut *tx)
            .await?;
        assert_eq!(all.len(), 2);
        assert!(all.contains(&Account { id: eve, owner: "eve".to_owned(), balance: 6 }));

        let scalar: Option<i64> = sqlx::query_scalar("delete from account where id = $1 returning balance")
            .bind(4_i64)
            .fetch_optional(&mut *tx)
            .await?;
        assert_eq!(scalar, Some(1));
        let gone = sqlx::query("delete from account where id = 4 returning id").fetch_optional(&mut *tx).await?;
        assert!(gone.is_none());

        let mut list = QueryBuilder::<Db>::new("update account set balance = 7 where id in (");
        let mut parts = list.separated(", ");
        for id in [1_i64, 2, 99] {
            parts.push_bind(id);
        }
        list.push(")");
        assert_eq!(list.build().execute(&mut *tx).await?.rows_affected(), 2);

        let seen: Vec<i64> = sqlx::query("select id from account order by id")
            .fetch(&mut *tx)
            .map_ok(|row| row.get::<i64, _>(0))
            .try_collect()
            .await?;
        assert_eq!(seen, [1, 2, 3, eve]);

        let prepared = tx.prepare("update account set owner = $2 where id = $1".into_sql_str()).await?;
        let done = prepared.query().bind(3_i64).bind("kim").execute(&mut *tx).await?;
        assert_eq!(done.rows_affected(), 1);

        assert_eq!(rename(&mut *tx, 1, "amy").await?, 1);
        assert_eq!(owner_of(tx.executor(), 1).await?, "amy");
        assert_eq!(
            sqlx::raw_sql("update account set owner = 'bo' where id = 2").execute(&mut *tx).await?.rows_affected(),
            1
        );
        let ignored = "insert into account values (1, 'x', 0), (6, 'fay', 0) on conflict do nothing";
        assert_eq!(tx.execute(ignored).await?.rows_affected(), 1);
        Err::<(), _>(DtxError::NoTransaction)
    })
    .await
    .unwrap_err();
    let owner = one(&world, async |mut tx| Ok(owner_of(&mut *tx, 1).await?)).await.unwrap();
    assert_eq!(owner, "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_gets_what_the_row_it_is_joined_with_has() {
    let world = World::new().await;
    let pool = world.at[0].pool();
    sqlx::raw_sql("create table due (account integer, amount bigint)").execute(pool).await.unwrap();
    sqlx::raw_sql("insert into due values (1, 11), (2, 22), (7, 77)").execute(pool).await.unwrap();
    let joined =
        "update account set balance = due.amount from due where due.account = account.id returning id, balance";
    let with = "with more as (select account, amount + 100 as amount from due where amount > $1) \
                update account set balance = more.amount from more where more.account = account.id returning id, balance";
    one(&world, async |mut tx| {
        let mut rows: Vec<(i64, i64)> = sqlx::query_as(joined).fetch_all(&mut *tx).await?;
        rows.sort_unstable();
        assert_eq!(rows, [(1, 11), (2, 22)]);
        let rows: Vec<(i64, i64)> = sqlx::query_as(with).bind(11_i64).fetch_all(&mut *tx).await?;
        assert_eq!(rows, [(2, 122)]);
        Err::<(), _>(DtxError::NoTransaction)
    })
    .await
    .unwrap_err();
    one(&world, async |mut tx| Ok(tx.execute(joined).await?)).await.unwrap();
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(11), Some(22)));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_is_undone_after_its_local_commit() {
    let world = World::new().await;
    let rows = async || -> Vec<Account> {
        sqlx::query_as("select * from account order by id").fetch_all(world.at[0].pool()).await.unwrap()
    };
    let before = rows().await;
    let answer = world
        .dtx
        .run(Options::new("undone"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    rename(&mut *tx, 1, "amy").await?;
                    tx.execute("delete from account where id = 2").await?;
                    tx.execute("insert into account values (2, 'again', 1), (3, 'new', 2)").await?;
                    tx.execute("update account set balance = balance + 1").await?;
                    tx.execute("delete from account where id in (1, 3)").await?;
                    Ok::<_, DtxError>(())
                })
                .await?;
            assert_eq!(rows().await, [Account { id: 2, owner: "again".to_owned(), balance: 2 }]);
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    assert_eq!(rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_makes_the_branch_rollback_only() {
    let world = World::new().await;
    let answer = one(&world, async |mut tx| {
        tx.execute("update account set balance = 0").await?;
        let failed = tx.execute("insert into account values (1, 'dup', 0)").await;
        assert!(failed.unwrap_err().as_database_error().unwrap().is_unique_violation());
        let next = tx.execute("select 1").await.map_err(DtxError::from);
        assert!(matches!(next, Err(DtxError::RollbackOnly(_))), "{next:?}");
        Ok(())
    })
    .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "swallowed, and still not committed: {answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_preparation_counts_as_a_failed_statement() {
    let world = World::new().await;
    let answer = one(&world, async |mut tx| {
        tx.execute("update account set balance = 0").await?;
        assert!(tx.prepare("select nothing from nowhere".into_sql_str()).await.is_err());
        Ok(())
    })
    .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "swallowed, and still not committed: {answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_dropped_half_way_poisons_the_branch() {
    let world = World::new().await;
    let answer = one(&world, async |mut tx| {
        sqlx::query(SLOW).bind(1_i64).execute(&mut *tx).await?;
        // Planned by now, and so long that the first poll cannot see its end.
        let dropped = sqlx::query(SLOW).bind(1_000_000_i64).execute(&mut *tx).now_or_never();
        assert!(dropped.is_none(), "polled once, then dropped");
        let next = tx.execute("select 1").await.map_err(DtxError::from);
        assert!(matches!(next, Err(DtxError::RollbackOnly(_))), "{next:?}");
        Ok(())
    })
    .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "{answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
    one(&world, async |mut tx| Ok(rename(&mut *tx, 1, "the connection works").await?)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_dropped_after_a_row_harms_nothing() {
    let world = World::new().await;
    one(&world, async |mut tx| {
        {
            let mut rows = sqlx::query("select id from account").fetch(&mut *tx);
            rows.try_next().await?;
        }
        tx.execute("update account set balance = 1 where id = 1").await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(world.balance(0, 1).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_past_the_capture_is_not_undone_and_its_failure_is_noticed() {
    let world = World::new().await;
    one(&world, async |mut tx| {
        tx.execute("update account set balance = 1 where id = 1").await?;
        sqlx::query("update account set balance = 1 where id = 2").execute(tx.uncaptured()).await?;
        Ok(())
    })
    .await
    .unwrap();
    // What runs past the capture ends the transaction under it: the commit must not pretend.
    let ended = one(&world, async |mut tx| {
        tx.execute("update account set balance = 2 where id = 1").await?;
        let _ = sqlx::query(ENDS).execute(tx.uncaptured()).await;
        Ok(())
    })
    .await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(world.balance(0, 1).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_commits_by_itself_behind_a_statement_that_ended_the_transaction() {
    let world = World::new().await;
    for _ in 0..2 {
        let ended = one(&world, async |mut tx| {
            tx.execute("update account set balance = 2 where id = 1").await?;
            let _ = sqlx::query(ENDS).execute(tx.uncaptured()).await;
            let next = tx.execute("update account set balance = 3 where id = 2").await;
            assert!(next.is_err(), "{next:?}");
            Ok(())
        })
        .await;
        assert!(ended.is_err(), "{ended:?}");
        assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(100), Some(100)));
    }
    // Its connection is whole when it comes out of the pool again.
    let connections = world.at[0].pool().options().get_max_connections();
    for balance in 0..i64::from(connections) {
        add(&world, balance).await;
    }
    world.dtx.recover().await.unwrap();
    world.quiet().await;
}

async fn add(world: &World, balance: i64) {
    let set = async |mut tx: Tx| {
        sqlx::query("update account set balance = $1 where id = 1").bind(balance).execute(&mut *tx).await?;
        Ok(())
    };
    one(world, set).await.unwrap();
    assert_eq!(world.balance(0, 1).await, Some(balance));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_too_large_is_refused_and_rolled_back() {
    let world =
        World::open(World::new().await.disk, || AtOptions::default().with_max_rows(3).with_max_bytes(400)).await;
    let insert = "insert into account (owner, balance) values ('a', 1), ('b', 1)";
    let rows = one(&world, async |mut tx| {
        tx.execute(insert).await?;
        tx.execute(insert).await?;
        Ok(())
    })
    .await;
    assert!(matches!(rows, Err(DtxError::TooLarge { what: "rows", limit: 3 })), "{rows:?}");
    let bytes = one(&world, async |mut tx| {
        sqlx::query("insert into account (owner, balance) values ($1, 1)")
            .bind("x".repeat(500))
            .execute(&mut *tx)
            .await?;
        Ok(())
    })
    .await;
    assert!(matches!(bytes, Err(DtxError::TooLarge { what: "bytes", .. })), "{bytes:?}");
    let count: i64 = sqlx::query_scalar("select count(*) from account").fetch_one(world.at[0].pool()).await.unwrap();
    assert_eq!(count, 2);
}
