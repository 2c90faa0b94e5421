//! The SQL seam on MariaDB, with the traps of that family as cases.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is the report; tests spawn to race")]

#[path = "cases/seam.rs"]
mod seam;

use std::time::Duration;

use onceward_backend::internal::{Sql, begin, commit};
use onceward_backend::sqlx::mysql::MySqlPoolOptions;
use onceward_backend::sqlx::{self, Connection, MySql, MySqlPool};
use onceward_backend::{BackendError, ErrorClass, Migrations};
use testkit::{Mode, Proxy};

async fn pool(url: &str) -> MySqlPool {
    MySqlPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(5)).connect(url).await.unwrap()
}

async fn class(pool: &MySqlPool, statement: &'static str) -> ErrorClass {
    let error: BackendError = sqlx::query(statement).execute(pool).await.unwrap_err().into();
    error.class()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seam() {
    let db = testkit::mysql::database().await;
    seam::run::<MySql>(&pool(db.url()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_utf8_whatever_the_database_prefers() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    let latin = sqlx::AssertSqlSafe(format!("alter database `{}` character set latin1", db.name()));
    sqlx::query(latin).execute(&pool).await.unwrap();
    let sql = Sql::<MySql>::new();
    let mut conn = pool.acquire().await.unwrap();
    sql.sql("create table t (id {key} primary key, body {text})").execute(&mut conn).await.unwrap();
    sql.sql("insert into t (id, body) values (?, ?)").bind("x").bind("crab 🦀").execute(&mut conn).await.unwrap();
    let (body,) = sql.sql("select body from t").fetch_one::<(String,)>(&mut conn).await.unwrap();
    assert_eq!(body, "crab 🦀");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_text_key_folds_case_and_a_key_column_only_trailing_space() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    let sql = Sql::<MySql>::new();
    let mut conn = pool.acquire().await.unwrap();
    sql.sql("create table plain (id varchar(20) primary key) character set utf8mb4 collate utf8mb4_general_ci")
        .execute(&mut conn)
        .await
        .unwrap();
    sql.sql("create table keyed (id {key} primary key)").execute(&mut conn).await.unwrap();
    let (mut plain, mut keyed) = (0, 0);
    for id in ["a", "A", "a "] {
        let insert = sql.sql("{insert_ignore} plain (id) values (?) {or_ignore}").bind(id);
        plain += i32::from(insert.insert_once(&mut conn).await.unwrap());
        let insert = sql.sql("{insert_ignore} keyed (id) values (?) {or_ignore}").bind(id);
        keyed += i32::from(insert.insert_once(&mut conn).await.unwrap());
    }
    assert_eq!(plain, 1, "three keys are one under a default collation");
    assert_eq!(keyed, 2, "a key column tells case apart, but not a trailing space: key types refuse white space");
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_ignore_cuts_a_long_key_so_key_types_check_their_length() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    let sql = Sql::<MySql>::new();
    let mut conn = pool.acquire().await.unwrap();
    sql.sql("create table t (id {key} primary key)").execute(&mut conn).await.unwrap();
    for tail in ["a", "b"] {
        let long = "k".repeat(255) + tail;
        let insert = sql.sql("{insert_ignore} t (id) values (?) {or_ignore}").bind(&long);
        let won = insert.insert_once(&mut conn).await.unwrap();
        assert_eq!(won, tail == "a", "two keys of 256 characters became one: this is why keys are bounded before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_counts_one_for_insert_and_for_no_change() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    let sql = Sql::<MySql>::new();
    let mut conn = pool.acquire().await.unwrap();
    sql.sql("create table t (id {key} primary key, n bigint)").execute(&mut conn).await.unwrap();
    let mut counts = Vec::new();
    for n in [1_i64, 1, 2] {
        let upsert = sql.sql("insert into t (id, n) values (?, ?) {upsert id: n}").bind("x").bind(n);
        counts.push(upsert.execute(&mut conn).await.unwrap());
    }
    assert_eq!(counts, [1, 1, 2], "never read \"inserted\" from an upsert");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writing_transaction_is_read_committed() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    let sql = Sql::<MySql>::new();
    let mut conn = pool.acquire().await.unwrap();
    sql.sql("create table t (id bigint primary key)").execute(&mut conn).await.unwrap();
    let mut tx = begin(&pool).await.unwrap();
    let before = sql.sql("select count(*) from t").fetch_one::<(i64,)>(&mut tx).await.unwrap();
    sql.sql("insert into t (id) values (1)").execute(&mut conn).await.unwrap();
    let after = sql.sql("select count(*) from t").fetch_one::<(i64,)>(&mut tx).await.unwrap();
    assert_eq!((before, after), ((0,), (1,)), "a repeatable read would not see it");
    commit(tx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_dies_half_way_is_taken_up_again() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    // DDL commits by itself here, so the first statement stays although the second one fails.
    let broken = Migrations::new("demo", &[(1, "create table if not exists a (x bigint);\ncreate table nonsense;\n")]);
    assert_eq!(broken.run(&pool).await.unwrap_err().class(), ErrorClass::Refused);
    let whole = Migrations::new(
        "demo",
        &[(1, "create table if not exists a (x bigint);\ncreate table if not exists b (x bigint);\n")],
    );
    whole.run(&pool).await.unwrap();
    whole.run(&pool).await.unwrap();
    let tables = "select cast(count(*) as signed) from information_schema.tables where table_schema = database() and table_name in ('a', 'b')";
    let (tables,): (i64,) = sqlx::query_as(tables).fetch_one(&pool).await.unwrap();
    assert_eq!(tables, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_server_are_classified() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    sqlx::query("create table t (id int primary key, n int check (n > 0)) engine = innodb")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("insert into t values (1, 1), (2, 1)").execute(&pool).await.unwrap();
    assert_eq!(class(&pool, "insert into t values (1, 1)").await, ErrorClass::Conflict);
    assert_eq!(class(&pool, "insert into t values (3, 0)").await, ErrorClass::Refused);
    assert_eq!(class(&pool, "select nothing from t").await, ErrorClass::Refused);

    let mut holder = pool.begin().await.unwrap();
    sqlx::query("update t set n = 2 where id = 1").execute(&mut *holder).await.unwrap();
    assert_eq!(class(&pool, "select n from t where id = 1 for update nowait").await, ErrorClass::Transient);
    drop(holder);

    let (mut a, mut b) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    sqlx::query("update t set n = 2 where id = 1").execute(&mut *a).await.unwrap();
    sqlx::query("update t set n = 2 where id = 2").execute(&mut *b).await.unwrap();
    let (first, second) = tokio::join!(
        sqlx::query("update t set n = 3 where id = 2").execute(&mut *a),
        sqlx::query("update t set n = 3 where id = 1").execute(&mut *b),
    );
    let failed: BackendError = first.err().or(second.err()).unwrap().into();
    assert_eq!(failed.class(), ErrorClass::Transient, "a deadlock's victim may try again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_wire_is_unknown_and_a_refused_one_unavailable() {
    let db = testkit::mysql::database().await;
    let proxy = Proxy::in_front_of(db.url()).await;
    let through = MySqlPoolOptions::new().max_connections(1).connect(proxy.url()).await.unwrap();
    sqlx::query("create table t (id int)").execute(&through).await.unwrap();
    let mut conn = through.acquire().await.unwrap();
    proxy.set(Mode::DropReplyTo(b"insert".to_vec()));
    let error: BackendError = sqlx::query("insert into t values (1)").execute(&mut *conn).await.unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Unknown);
    drop(conn);
    proxy.settle(Mode::Refuse).await;
    let refused: BackendError = sqlx::MySqlConnection::connect(proxy.url()).await.unwrap_err().into();
    assert_eq!(refused.class(), ErrorClass::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_over_a_changed_snapshot_may_be_tried_again() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    sqlx::query("create table t (id int primary key, n int) engine = innodb").execute(&pool).await.unwrap();
    sqlx::query("insert into t values (1, 1)").execute(&pool).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    sqlx::query("set session innodb_snapshot_isolation = on").execute(&mut *conn).await.unwrap();
    let mut snapshot = conn.begin().await.unwrap();
    sqlx::query("select n from t").execute(&mut *snapshot).await.unwrap();
    sqlx::query("update t set n = 2").execute(&pool).await.unwrap();
    let error: BackendError = sqlx::query("update t set n = 3").execute(&mut *snapshot).await.unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Transient, "error 1020");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_that_the_server_ends_may_be_tried_again() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    sqlx::query("create table t (id int primary key, n int) engine = innodb").execute(&pool).await.unwrap();
    sqlx::query("insert into t values (1, 1)").execute(&pool).await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("update t set n = 2").execute(&mut *holder).await.unwrap();

    let mut waiter = pool.acquire().await.unwrap();
    sqlx::query("set session innodb_lock_wait_timeout = 1").execute(&mut *waiter).await.unwrap();
    let waited: BackendError = sqlx::query("update t set n = 3").execute(&mut *waiter).await.unwrap_err().into();
    assert_eq!(waited.class(), ErrorClass::Transient, "error 1205");

    let limited = "set statement max_statement_time = 0.05 for select sleep(5) from t where n = 1 or n = 2";
    assert_eq!(class(&pool, limited).await, ErrorClass::Transient, "error 1969");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_statement_may_be_tried_again_and_a_killed_session_is_unknown() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    sqlx::query("create table t (id int primary key) engine = innodb").execute(&pool).await.unwrap();
    sqlx::query("insert into t values (1)").execute(&pool).await.unwrap();
    for (what, expected) in [("query", ErrorClass::Transient), ("connection", ErrorClass::Unknown)] {
        let mut victim = pool.acquire().await.unwrap();
        let (id,): (i64,) =
            sqlx::query_as("select cast(connection_id() as signed)").fetch_one(&mut *victim).await.unwrap();
        // A write that waits: a killed sleep would answer as if it had slept.
        let mut holder = pool.begin().await.unwrap();
        sqlx::query("update t set id = 1").execute(&mut *holder).await.unwrap();
        sqlx::query("select id from t for update").execute(&mut *holder).await.unwrap();
        let waiting = tokio::spawn(async move { sqlx::query("delete from t").execute(&mut *victim).await });
        testkit::eventually(Duration::from_secs(5), async || {
            let busy = "select cast(count(*) as signed) from information_schema.processlist where id = ? and info like 'delete%'";
            let (busy,): (i64,) = sqlx::query_as(busy).bind(id).fetch_one(&pool).await.unwrap();
            if busy == 1 { Ok(()) } else { Err("not waiting yet") }
        })
        .await;
        sqlx::query(sqlx::AssertSqlSafe(format!("kill {what} {id}"))).execute(&pool).await.unwrap();
        let error: BackendError = waiting.await.unwrap().unwrap_err().into();
        assert_eq!(error.class(), expected, "kill {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_more_sessions_is_unavailable() {
    let db = testkit::mysql::database().await;
    let pool = pool(db.url()).await;
    let user = db.name();
    let create = format!("create user {user} identified by 'x' with max_user_connections 1");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&pool).await.unwrap();
    let options: sqlx::mysql::MySqlConnectOptions = db.url().parse().unwrap();
    let options = options.username(user).password("x").database("information_schema");
    let first = sqlx::MySqlConnection::connect_with(&options).await.unwrap();
    let second: BackendError = sqlx::MySqlConnection::connect_with(&options).await.unwrap_err().into();
    assert_eq!(second.class(), ErrorClass::Unavailable);
    first.close().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("drop user {user}"))).execute(&pool).await.unwrap();
}
