//! Joins a database that others keep.

use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::{ConnectOptions, Connection, Pool};

use super::problem::Problem;
use crate::Db;
use crate::error::chain;

/// How long a database may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a driver is told where to go.
pub type Options<D> = <<D as sqlx::Database>::Connection as Connection>::Options;

/// Reads the URL that `option` gave. The drivers' own words would quote parts of it.
pub fn options<D: Db>(option: &str, url: &str) -> Result<Options<D>, Problem> {
    url.parse().map_err(|_: sqlx::Error| {
        Problem::usage(format!(
            "{option}: the URL cannot be read; write SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for what is \
             special in it"
        ))
    })
}

/// A pool on a database that answers. Asked by one connection first: a pool tries for as long as it may, and then says only
/// that its time is over.
pub async fn connect<D: Db>(option: &str, options: &Options<D>) -> Result<Pool<D>, Problem> {
    let problem = |what: String| Problem::usage(format!("{option}: the database cannot be reached: {what}"));
    let first = tokio::time::timeout(PATIENCE, options.connect()).await;
    let first = first.map_err(|_| problem(format!("no answer within {} s", PATIENCE.as_secs())))?;
    // Its end is no news of the database.
    let _ = first.map_err(|error| problem(chain(&error)))?.close().await;
    let pool = PoolOptions::<D>::new().max_connections(2).acquire_timeout(PATIENCE);
    Ok(pool.connect_lazy_with(options.clone()))
}

/// An existing file as it is: neither made nor switched to another journal, and what is decided in it survives a power
/// failure.
#[cfg(feature = "sqlite")]
pub fn file(path: std::path::PathBuf) -> sqlx::sqlite::SqliteConnectOptions {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(false);
    options.synchronous(sqlx::sqlite::SqliteSynchronous::Full).foreign_keys(true)
}
