//! A MySQL or MariaDB database per test.

use std::time::SystemTime;

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, query_scalar, raw_sql};

use crate::namespace::is_leftover;
use crate::{Lent, namespace, teardown, url};

/// Creates an empty database, with the server's default character set, at `MYSQL_URL`, and sweeps what test runs left
/// there more than an hour ago.
///
/// # Panics
/// If the variable is absent or the server refuses.
///
/// ```no_run
/// # async fn example() {
/// let database = testkit::mysql::database().await;
/// // connect to database.url() ..
/// # }
/// ```
pub async fn database() -> Lent {
    let server = url("MYSQL_URL");
    let name = namespace();
    let mut connection = match MySqlConnection::connect(&server).await {
        Ok(connection) => connection,
        Err(error) => panic!("MYSQL_URL: {error}; are the services up (`cargo xtask up`)?"),
    };
    sweep(&mut connection).await;
    let statement = format!("create database {name}");
    raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a database can be created");
    let _ = connection.close().await;
    Lent::new(name.clone(), teardown::with_database(&server, &name), move || {
        teardown::blocking("dropping a test's MySQL database", remove(server.clone(), name.clone()));
    })
}

async fn remove(server: String, name: String) -> Result<(), sqlx::Error> {
    let mut connection = MySqlConnection::connect(&server).await?;
    // A transaction that the test left open holds metadata locks, for which `drop database` would wait.
    for id in users(&mut connection, &name).await? {
        let _ = raw_sql(AssertSqlSafe(format!("kill {id}"))).execute(&mut connection).await;
    }
    drop_database(&mut connection, &name).await?;
    connection.close().await
}

async fn users(connection: &mut MySqlConnection, name: &str) -> Result<Vec<i64>, sqlx::Error> {
    query_scalar("select cast(id as signed) from information_schema.processlist where db = ?")
        .bind(name)
        .fetch_all(connection)
        .await
}

async fn drop_database(connection: &mut MySqlConnection, name: &str) -> Result<(), sqlx::Error> {
    raw_sql("set session lock_wait_timeout = 10").execute(&mut *connection).await?;
    raw_sql(AssertSqlSafe(format!("drop database if exists {name}"))).execute(&mut *connection).await?;
    Ok(())
}

async fn sweep(connection: &mut MySqlConnection) {
    let names: Vec<String> = query_scalar("select cast(schema_name as char) from information_schema.schemata")
        .fetch_all(&mut *connection)
        .await
        .unwrap_or_default();
    let now = SystemTime::now();
    for name in names.into_iter().filter(|name| is_leftover(name, now)) {
        // A database in use belongs to a long run.
        if users(connection, &name).await.is_ok_and(|users| users.is_empty()) {
            let _ = drop_database(connection, &name).await;
        }
    }
}
