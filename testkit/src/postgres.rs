//! A PostgreSQL database per test.

use std::time::SystemTime;

use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar, raw_sql};

use crate::namespace::is_leftover;
use crate::{Lent, namespace, teardown, url};

/// Creates an empty database at `POSTGRES_URL`, and sweeps what test runs left there more than an hour ago.
///
/// # Panics
/// If the variable is absent or the server refuses.
///
/// ```no_run
/// # async fn example() {
/// let database = testkit::postgres::database().await;
/// // connect to database.url() ..
/// # }
/// ```
pub async fn database() -> Lent {
    let server = url("POSTGRES_URL");
    let name = namespace();
    let mut connection = match PgConnection::connect(&server).await {
        Ok(connection) => connection,
        Err(error) => panic!("POSTGRES_URL: {error}; are the services up (`cargo xtask up`)?"),
    };
    sweep(&mut connection).await;
    // Nobody ever connects to template0, so creating cannot meet "is being accessed by other users".
    let statement = format!("create database {name} template template0 encoding 'UTF8'");
    raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a database can be created");
    let _ = connection.close().await;
    Lent::new(name.clone(), teardown::with_database(&server, &name), move || {
        teardown::blocking("dropping a test's PostgreSQL database", remove(server.clone(), name.clone()));
    })
}

async fn remove(server: String, name: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&server).await?;
    let statement = format!("drop database if exists {name} with (force)");
    raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

async fn sweep(connection: &mut PgConnection) {
    let names: Vec<String> =
        query_scalar("select datname::text from pg_database").fetch_all(&mut *connection).await.unwrap_or_default();
    let now = SystemTime::now();
    for name in names.into_iter().filter(|name| is_leftover(name, now)) {
        // Not by force: a database with a connection belongs to a long run. Another test may sweep at the same time.
        let _ = raw_sql(AssertSqlSafe(format!("drop database if exists {name}"))).execute(&mut *connection).await;
    }
}
