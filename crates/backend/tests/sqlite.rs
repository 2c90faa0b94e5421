//! The SQL seam on SQLite: what every store rests on.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is the report; tests spawn to race")]

#[path = "cases/seam.rs"]
mod seam;

use onceward_backend::internal::{Sql, begin, commit};
use onceward_backend::{BackendError, ErrorClass, Migrations, sqlite, sqlx};
use sqlx::Sqlite;

async fn file() -> (tempfile::TempDir, sqlx::SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite::open(folder.path().join("seam.db")).await.unwrap();
    (folder, pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seam() {
    let (_folder, pool) = file().await;
    seam::run::<Sqlite>(&pool).await;
}

#[tokio::test]
async fn a_writer_that_waits_too_long_is_busy_and_may_try_again() {
    let (_folder, pool) = file().await;
    let holder = begin(&pool).await.unwrap();
    let mut other = pool.acquire().await.unwrap();
    sqlx::query("pragma busy_timeout = 50").execute(&mut *other).await.unwrap();
    let error: BackendError = sqlx::query("begin immediate").execute(&mut *other).await.unwrap_err().into();
    assert_eq!((error.class(), error.backend()), (ErrorClass::Transient, "sqlite"));
    assert!(error.is_retryable());
    drop(holder);
}

#[tokio::test]
async fn a_connection_whose_transaction_ended_by_itself_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite::open(folder.path().join("full.db")).await.unwrap();
    let options = (*pool.connect_options()).clone();
    pool.close().await;
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::query("create table t (b)").execute(&pool).await.unwrap();
    for _ in 0..3 {
        let mut tx = begin(&pool).await.unwrap();
        sqlx::query("pragma max_page_count = 4").execute(&mut *tx).await.unwrap();
        let full = sqlx::query("insert into t values (zeroblob(1000000))").execute(&mut *tx).await.unwrap_err();
        assert!(full.to_string().contains("full"), "{full}");
        let over = sqlx::query("rollback").execute(&mut *tx).await.unwrap_err();
        assert!(over.to_string().contains("no transaction"), "{over}");
    }
    let tx = begin(&pool).await.unwrap();
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_unavailable() {
    let error = sqlite::open("/nonexistent/folder/x.db").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
}

#[tokio::test]
async fn a_killed_process_keeps_its_commits_and_loses_the_rest() {
    let (folder, pool) = file().await;
    let sql = Sql::<Sqlite>::new();
    let mut tx = begin(&pool).await.unwrap();
    sql.sql("create table t (id {key} primary key)").execute(&mut tx).await.unwrap();
    sql.sql("insert into t (id) values (?)").bind("kept").execute(&mut tx).await.unwrap();
    commit(tx).await.unwrap();
    let mut open = begin(&pool).await.unwrap();
    sql.sql("insert into t (id) values (?)").bind("lost").execute(&mut open).await.unwrap();

    // What the file and its log hold now is what a kill would leave.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let pool = sqlite::open(copy.path().join("seam.db")).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let ids: Vec<(String,)> = sql.sql("select id from t").fetch_all(&mut conn).await.unwrap();
    assert_eq!(ids, [("kept".to_owned(),)]);
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let (_folder, pool) = file().await;
    Migrations::new("demo", &[(1, "create table if not exists a (x bigint);\n")]).run(&pool).await.unwrap();
    let changed = Migrations::new("demo", &[(1, "create table if not exists a (y bigint);\n")]);
    let error = changed.run(&pool).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
}
