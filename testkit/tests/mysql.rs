//! A database per test, on a running MySQL or MariaDB.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

#[path = "cases/trips.rs"]
mod trips;

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, query_scalar, raw_sql};
use testkit::mysql::database;

type Db = sqlx::MySql;

async fn exists(name: &str) -> bool {
    let mut server = MySqlConnection::connect(&testkit::url("MYSQL_URL")).await.unwrap();
    let found: i64 = query_scalar("select count(*) from information_schema.schemata where schema_name = ?")
        .bind(name)
        .fetch_one(&mut server)
        .await
        .unwrap();
    found > 0
}

#[tokio::test]
async fn a_database_lives_as_long_as_its_guard() {
    let first = database().await;
    let second = database().await;
    let mut open = MySqlConnection::connect(first.url()).await.unwrap();
    for statement in ["create table mine (id bigint)", "begin", "insert into mine values (1)"] {
        raw_sql(statement).execute(&mut open).await.unwrap();
    }
    let mut other = MySqlConnection::connect(second.url()).await.unwrap();
    assert!(raw_sql("select * from mine").execute(&mut other).await.is_err(), "tests do not see each other");
    let name = first.name().to_owned();
    assert!(exists(&name).await);
    drop(first);
    assert!(!exists(&name).await, "dropped, though a transaction was open");
}

#[tokio::test]
async fn leftovers_of_dead_runs_are_swept() {
    let old = "t000001_0123456789";
    let mut server = MySqlConnection::connect(&testkit::url("MYSQL_URL")).await.unwrap();
    let _ = raw_sql(AssertSqlSafe(format!("create database {old}"))).execute(&mut server).await;
    let _mine = database().await;
    assert!(!exists(old).await);
}
