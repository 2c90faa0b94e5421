//! SQLite files opened as every embedded store here expects them.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::BackendError;

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(5);

/// A pool of up to 4 connections on the file at `path`, created if absent: write-ahead log, foreign keys on, 5 s of
/// patience with another writer.
///
/// `synchronous` is NORMAL: what was committed survives the death of the process (SIGKILL included); a power failure may
/// take the last commits, never the file's integrity. For more, open the pool yourself.
///
/// # Errors
/// Class `Unavailable` if the file cannot be opened or created.
pub async fn open(path: impl AsRef<Path>) -> Result<SqlitePool, BackendError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    Ok(SqlitePoolOptions::new().max_connections(4).connect_with(options).await?)
}

/// A pool of one connection on a database in memory, which lives as long as the pool.
///
/// # Errors
/// If the driver cannot start.
pub async fn memory() -> Result<SqlitePool, BackendError> {
    let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
    let one = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
    Ok(one.connect_with(options).await?)
}
