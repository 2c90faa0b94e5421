//! What a watch knows on PostgreSQL, and what it costs.

use onceward_dtx::{AtOptions, AtTransaction, DtxError, Options, Watch};
use sqlx::postgres::{PgConnectOptions, PgPoolCopyExt};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};

use crate::world::{World, add};

async fn run(world: &World, text: &'static str) -> Result<(), DtxError> {
    let branch = async |mut tx: AtTransaction<Postgres>| {
        tx.execute(text).await?;
        Ok::<_, DtxError>(())
    };
    world.dtx.run(Options::new("ours"), async |_| world.at[0].branch(branch).await).await
}

/// A login that may write to the table and to nothing else.
async fn stranger(world: &World) -> (String, PgConnection) {
    let pool = world.at[0].pool();
    let database: String = sqlx::query_scalar("select current_database()").fetch_one(pool).await.unwrap();
    let role = format!("stranger_{database}");
    let make = format!(
        "create role {role} login password 'x'; grant select, insert, update, delete on account to {role}; \
         grant usage on schema public to {role}"
    );
    pool.execute(AssertSqlSafe(make)).await.unwrap();
    let options: PgConnectOptions = world.disk.url("orders").await.parse().unwrap();
    let options = options.username(&role).password("x").application_name("nightly job");
    (role, PgConnection::connect_with(&options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_found_with_its_name_its_place_and_its_statement() {
    let world = World::new().await;
    let at = &world.at[0];
    at.watch("account", Watch::Report).await.unwrap();
    let (role, mut conn) = stranger(&world).await;
    let long = format!("update account set owner = $1 where id = $2 {}", "-".repeat(2000));
    sqlx::query(AssertSqlSafe(long.clone())).bind("secret").bind(1_i64).execute(&mut conn).await.unwrap();
    let seen = at.bypasses(10).await.unwrap();
    assert_eq!(seen.len(), 1, "one statement, one note");
    let write = &seen[0];
    assert_eq!((write.table.as_str(), write.operation.as_str()), ("public.account", "UPDATE"));
    assert_eq!((write.user.as_deref(), write.application.as_deref()), (Some(role.as_str()), Some("nightly job")));
    assert_eq!(write.client.as_deref(), Some("127.0.0.1"));
    assert_eq!(write.query.as_deref(), Some(&long[..1000]), "cut, and without what was bound");
    at.forget_bypasses(&seen).await.unwrap();
    // A note that cannot be written fails nobody.
    at.pool().execute("alter table dtx_bypass rename to elsewhere").await.unwrap();
    conn.execute("update account set owner = 'x' where id = 1").await.unwrap();
    at.pool().execute("alter table elsewhere rename to dtx_bypass").await.unwrap();
    let mut copy = at.pool().copy_in_raw("copy account from stdin").await.unwrap();
    copy.send("11\tkim\t5\n".as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    let seen = at.bypasses(10).await.unwrap();
    assert!(seen.len() == 1 && seen[0].operation == "INSERT", "{seen:?}");
    at.watch("account", Watch::Refuse).await.unwrap();
    let refused = conn.execute("truncate account").await.unwrap_err();
    assert!(!refused.to_string().contains("row locks"), "it may not even try: {refused}");
    let refused = at.pool().execute("truncate account").await.unwrap_err();
    assert!(refused.to_string().contains("TRUNCATE of public.account"), "{refused}");
    let refused = conn.execute("delete from account").await.unwrap_err();
    let hint = refused.as_database_error().unwrap().downcast_ref::<sqlx::postgres::PgDatabaseError>().hint();
    assert!(hint.unwrap().contains("At::branch"), "{hint:?}");
    conn.close().await.unwrap();
    let drop = format!("drop owned by {role}; drop role {role}");
    at.pool().execute(AssertSqlSafe(drop)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_is_watched_with_its_partitions() {
    let world = World::new().await;
    let at = &world.at[0];
    let make = "create table part (id bigint primary key, n bigint) partition by range (id);
        create table part_low partition of part for values from (0) to (10);
        create table part_high partition of part for values from (10) to (20) partition by range (id);
        create table part_high_a partition of part_high for values from (10) to (15)";
    at.pool().execute(make).await.unwrap();
    at.watch("part", Watch::Report).await.unwrap();
    let found = async || {
        let seen = at.bypasses(10).await.unwrap();
        at.forget_bypasses(&seen).await.unwrap();
        seen.into_iter().map(|write| write.table).collect::<Vec<_>>()
    };
    at.pool().execute("insert into part values (1, 1), (11, 1)").await.unwrap();
    assert_eq!(found().await, ["public.part"]);
    for table in ["part_low", "part_high", "part_high_a"] {
        at.pool().execute(AssertSqlSafe(format!("update {table} set n = 2"))).await.unwrap();
        assert_eq!(found().await, [format!("public.{table}")]);
    }
    run(&world, "insert into part values (2, 2), (12, 2)").await.unwrap();
    run(&world, "update part set n = n + 1").await.unwrap();
    let undone = world.dtx.run(Options::new("undone"), async |_| {
        let branch = async |mut tx: AtTransaction<Postgres>| {
            tx.execute("delete from part").await?;
            Ok::<_, DtxError>(())
        };
        at.branch(branch).await?;
        Err::<(), _>(DtxError::NoTransaction)
    });
    assert!(matches!(undone.await, Err(DtxError::NoTransaction)));
    assert_eq!(found().await, [""; 0]);
    assert_eq!(at.watched().await.unwrap(), [("public.part".to_owned(), Watch::Report)]);
    // One that comes later is watched once the watch is installed anew.
    at.pool().execute("create table part_b partition of part_high for values from (15) to (20)").await.unwrap();
    at.watch("part", Watch::Report).await.unwrap();
    at.pool().execute("insert into part_b values (16, 1)").await.unwrap();
    assert_eq!(found().await, ["public.part_b"]);
    at.unwatch("part").await.unwrap();
    at.pool().execute("delete from part_b; delete from part").await.unwrap();
    assert_eq!(found().await, [""; 0]);
}

/// Its plan of the table is older than the watch.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_know_of_the_watch_yet_may_run_again() {
    let world = World::new().await;
    let other = World::open(std::sync::Arc::clone(&world.disk), AtOptions::default).await;
    let add = async || other.dtx.run(Options::new("other"), async |_| add(&other.at[0], 1).await).await;
    add().await.unwrap();
    world.at[0].watch("account", Watch::Refuse).await.unwrap();
    // Unless the plan has grown old just now: then it knows.
    if let Err(error) = add().await {
        assert!(matches!(error, DtxError::Moved { .. }) && error.is_retryable(), "{error:?}");
    }
    add().await.unwrap();
    assert!(other.at[0].pool().execute("delete from account").await.is_err());
}
