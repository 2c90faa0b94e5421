//! The SQL seam on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is the report; tests spawn to race")]

#[path = "cases/seam.rs"]
mod seam;

use std::str::FromStr;
use std::time::Duration;

use onceward_backend::internal::begin;
use onceward_backend::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use onceward_backend::sqlx::{self, Connection, PgPool, Postgres};
use onceward_backend::{BackendError, ErrorClass};
use testkit::{Mode, Proxy};

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(5)).connect(url).await.unwrap()
}

async fn class(pool: &PgPool, statement: &'static str) -> ErrorClass {
    let error: BackendError = sqlx::query(statement).execute(pool).await.unwrap_err().into();
    error.class()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seam() {
    let db = testkit::postgres::database().await;
    seam::run::<Postgres>(&pool(db.url()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_is_given_up_half_way_leaves_no_transaction_behind() {
    let db = testkit::postgres::database().await;
    let proxy = Proxy::in_front_of(db.url()).await;
    let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = options.connect(proxy.url()).await.unwrap();
    sqlx::query("create table t (a integer)").execute(&pool).await.unwrap();
    // The pool looks after a connection that comes back, before anybody gets it.
    testkit::eventually(Duration::from_secs(10), async || if pool.num_idle() == 1 { Ok(()) } else { Err("not yet") })
        .await;
    proxy.set(Mode::Delay(Duration::from_millis(200)));
    assert!(tokio::time::timeout(Duration::from_millis(300), begin(&pool)).await.is_err(), "it is on its way");
    proxy.set(Mode::Pass);
    sqlx::query("insert into t values (1)").execute(&pool).await.unwrap();
    drop(begin(&pool).await.unwrap());
    let kept: i64 = sqlx::query_scalar("select count(*) from t").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writing_transaction_is_read_committed() {
    let db = testkit::postgres::database().await;
    let options = PgConnectOptions::from_str(db.url()).unwrap();
    let options = options.options([("default_transaction_isolation", "serializable")]);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let mut tx = begin(&pool).await.unwrap();
    let level: String = sqlx::query_scalar("show transaction_isolation").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(level, "read committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_server_are_classified() {
    let db = testkit::postgres::database().await;
    let pool = pool(db.url()).await;
    sqlx::query("create table t (id int primary key, n int check (n > 0))").execute(&pool).await.unwrap();
    sqlx::query("insert into t values (1, 1), (2, 1)").execute(&pool).await.unwrap();
    assert_eq!(class(&pool, "insert into t values (1, 1)").await, ErrorClass::Conflict);
    assert_eq!(class(&pool, "insert into t values (3, 0)").await, ErrorClass::Refused);
    assert_eq!(class(&pool, "select nothing").await, ErrorClass::Refused);

    // Lock not available, statement cancelled, deadlock.
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("update t set n = 2 where id = 1").execute(&mut *holder).await.unwrap();
    assert_eq!(class(&pool, "select n from t where id = 1 for update nowait").await, ErrorClass::Transient);
    let mut other = pool.begin().await.unwrap();
    sqlx::query("set local statement_timeout = 50").execute(&mut *other).await.unwrap();
    let error: BackendError =
        sqlx::query("update t set n = 3 where id = 1").execute(&mut *other).await.unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Transient);
    drop((holder, other));

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
    let db = testkit::postgres::database().await;
    let proxy = Proxy::in_front_of(db.url()).await;
    let through = PgPoolOptions::new().max_connections(1).connect(proxy.url()).await.unwrap();
    sqlx::query("create table t (id int)").execute(&through).await.unwrap();
    let mut conn = through.acquire().await.unwrap();
    proxy.set(Mode::DropReplyTo(b"insert".to_vec()));
    let error: BackendError = sqlx::query("insert into t values (1)").execute(&mut *conn).await.unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Unknown);
    assert!(!error.is_retryable());
    drop(conn);

    proxy.settle(Mode::Refuse).await;
    let refused: BackendError = sqlx::PgConnection::connect(proxy.url()).await.unwrap_err().into();
    assert_eq!(refused.class(), ErrorClass::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_is_unknown() {
    let db = testkit::postgres::database().await;
    let pool = pool(db.url()).await;
    let mut victim = pool.acquire().await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *victim).await.unwrap();
    let sleeping = tokio::spawn(async move { sqlx::query("select pg_sleep(30)").execute(&mut *victim).await });
    testkit::eventually(Duration::from_secs(5), async || {
        let ended: bool = sqlx::query_scalar(
            "select coalesce(bool_or(pg_terminate_backend(pid)), false) from pg_stat_activity where pid = $1 and query like '%pg_sleep%'",
        )
        .bind(pid)
        .fetch_one(&pool)
        .await
        .unwrap();
        if ended { Ok(()) } else { Err("not sleeping yet") }
    })
    .await;
    let error: BackendError = sleeping.await.unwrap().unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serialisation_failure_may_be_tried_again() {
    let db = testkit::postgres::database().await;
    let pool = pool(db.url()).await;
    sqlx::query("create table t (id int primary key, n int)").execute(&pool).await.unwrap();
    sqlx::query("insert into t values (1, 1)").execute(&pool).await.unwrap();
    let mut snapshot = pool.begin_with("begin isolation level repeatable read").await.unwrap();
    sqlx::query("select n from t").execute(&mut *snapshot).await.unwrap();
    sqlx::query("update t set n = 2").execute(&pool).await.unwrap();
    let error: BackendError = sqlx::query("update t set n = 3").execute(&mut *snapshot).await.unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_take_writes_or_sessions_is_unavailable() {
    let db = testkit::postgres::database().await;
    let pool = pool(db.url()).await;
    let mut standby = pool.begin_with("begin read only").await.unwrap();
    let write = sqlx::query("create table t (id int)").execute(&mut *standby).await;
    assert_eq!(BackendError::from(write.unwrap_err()).class(), ErrorClass::Unavailable);
    drop(standby);

    let role = sqlx::AssertSqlSafe(format!("create role {} login connection limit 1", db.name()));
    sqlx::query(role).execute(&pool).await.unwrap();
    let options = PgConnectOptions::from_str(db.url()).unwrap().username(db.name());
    let first = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let second: BackendError = sqlx::PgConnection::connect_with(&options).await.unwrap_err().into();
    assert_eq!(second.class(), ErrorClass::Unavailable);
    first.close().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("drop role {}", db.name()))).execute(&pool).await.unwrap();
}
