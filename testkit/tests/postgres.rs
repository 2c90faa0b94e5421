//! A database per test, on a running PostgreSQL.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

#[path = "cases/trips.rs"]
mod trips;

use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar, raw_sql};
use testkit::postgres::database;

type Db = sqlx::Postgres;

async fn exists(name: &str) -> bool {
    let mut server = PgConnection::connect(&testkit::url("POSTGRES_URL")).await.unwrap();
    query_scalar("select exists (select 1 from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut server)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_database_lives_as_long_as_its_guard() {
    let first = database().await;
    let second = database().await;
    let mut open = PgConnection::connect(first.url()).await.unwrap();
    raw_sql("create table mine (id bigint); begin; insert into mine values (1)").execute(&mut open).await.unwrap();
    let mut other = PgConnection::connect(second.url()).await.unwrap();
    assert!(raw_sql("select * from mine").execute(&mut other).await.is_err(), "tests do not see each other");
    let name = first.name().to_owned();
    assert!(exists(&name).await);
    drop(first);
    assert!(!exists(&name).await, "dropped, though a transaction was open");
}

#[tokio::test]
async fn leftovers_of_dead_runs_are_swept() {
    let old = "t000001_0123456789";
    let mut server = PgConnection::connect(&testkit::url("POSTGRES_URL")).await.unwrap();
    let _ = raw_sql(AssertSqlSafe(format!("create database {old} template template0"))).execute(&mut server).await;
    let _mine = database().await;
    assert!(!exists(old).await);
}
