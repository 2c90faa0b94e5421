//! Records in tables, written once for three databases.

mod bare;
mod contents;
mod tokens;
mod tx;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceward_backend::internal::{Sql, begin, commit};
use onceward_backend::sqlx::Pool;
use onceward_backend::sqlx::pool::PoolConnection;
use onceward_backend::{BackendError, Conn, Db, ErrorClass, Migrations};

use crate::{Error, Fingerprint, Owner, State};

/// The tables of this crate, all named `idem_…`.
pub const MIGRATIONS: Migrations = Migrations::new("idempotency", &[(1, include_str!("../../sql/0001_init.sql"))]);

/// A store on PostgreSQL.
#[cfg(feature = "postgres")]
pub type PostgresStore = SqlStore<onceward_backend::sqlx::Postgres>;
/// A store on MariaDB or MySQL.
#[cfg(feature = "mysql")]
pub type MySqlStore = SqlStore<onceward_backend::sqlx::MySql>;
/// A store on SQLite.
#[cfg(feature = "sqlite")]
pub type SqliteStore = SqlStore<onceward_backend::sqlx::Sqlite>;

/// A store in the tables of a SQL database. Cheap to clone; a pool of one connection is enough.
///
/// Leases and lives are measured by the database's clock. A record changes by one conditional statement that names the
/// revision it has read; no transaction stays open between two calls. The methods whose names end in `_tx` instead join
/// the caller's transaction: the record commits or rolls back with the caller's work, so that its effect happens once.
pub struct SqlStore<D: Db> {
    pool: Pool<D>,
    sql: Arc<Sql<D>>,
}

impl<D: Db> SqlStore<D> {
    /// A store on this pool. Run [`migrate`](Self::migrate) once before use.
    pub fn new(pool: Pool<D>) -> Self {
        Self { pool, sql: Arc::new(Sql::new()) }
    }

    /// Creates the tables where they are missing.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn migrate(&self) -> Result<(), Error> {
        Ok(MIGRATIONS.run(&self.pool).await?)
    }

    /// Deletes rows whose time is over, about `limit` per table, and answers how many. They count as absent anyway; call
    /// it from time to time so that the tables follow what is alive.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn purge(&self, limit: u32) -> Result<u64, Error> {
        const PURGES: [(&str, &str); 4] =
            [purge!("idem_token"), purge!("idem_latest"), purge!("idem_bare"), purge!("idem_record")];
        let mut conn = self.conn().await?;
        let mut purged = 0;
        for (border, delete) in PURGES {
            let last = self.sql.sql(border).bind(i64::from(limit)).fetch_one::<(Option<i64>,)>(&mut conn).await?;
            if let (Some(last),) = last {
                purged += self.sql.sql(delete).bind(last).execute(&mut conn).await?;
            }
        }
        Ok(purged)
    }

    async fn conn(&self) -> Result<PoolConnection<D>, BackendError> {
        Ok(self.pool.acquire().await?)
    }

    async fn ping(&self) -> Result<(), Error> {
        let mut conn = self.conn().await?;
        // Also fails where the tables are missing.
        self.sql.sql("select count(*) from idem_token where id = ''").fetch_one::<(i64,)>(&mut conn).await?;
        Ok(())
    }
}

/// Where the oldest dead rows end, and their deletion. The clock is asked in a subquery so that it is one value, which an
/// index can be searched by.
macro_rules! purge {
    ($table:literal) => {
        (
            concat!(
                "select max(keep_until) from (select keep_until from ",
                $table,
                " where keep_until <= (select {now}) order by keep_until limit ?) dead"
            ),
            concat!("delete from ", $table, " where keep_until <= ?"),
        )
    };
}
use purge;

impl<D: Db> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sql: Arc::clone(&self.sql) }
    }
}

impl<D: Db> fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("database", &D::DIALECT).finish_non_exhaustive()
    }
}

/// How often a change is tried again because another one came between reading and writing. Each time somebody else got
/// ahead, so the bound is never met by an honest crowd.
const TRIES: u32 = 100;

fn crowded<D: Db>() -> Error {
    BackendError::new(D::DIALECT.name(), ErrorClass::Transient, "the record changes too often").into()
}

fn corrupt<D: Db>(what: &'static str) -> Error {
    BackendError::corrupt(D::DIALECT.name(), what).into()
}

/// Microseconds, rounded up so that nothing positive becomes zero.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX / 4)
}

/// What is left, as the database computed it.
fn left(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

const ISSUED: i64 = 0;
const CLAIMED: i64 = 1;
const DONE: i64 = 2;

fn state<D: Db>(number: i64) -> Result<State, Error> {
    match number {
        ISSUED => Ok(State::Issued),
        CLAIMED => Ok(State::Claimed),
        DONE => Ok(State::Done),
        _ => Err(corrupt::<D>("a record in a state that this version does not know")),
    }
}

fn owner<D: Db>(text: &str) -> Result<Owner, Error> {
    Owner::from_hex(text).ok_or_else(|| corrupt::<D>("a record whose owner is not hexadecimal"))
}

fn fingerprint<D: Db>(bytes: &[u8]) -> Result<Fingerprint, Error> {
    let bytes = bytes.try_into().map_err(|_| corrupt::<D>("a fingerprint that is not 32 bytes long"))?;
    Ok(Fingerprint::from_bytes(bytes))
}

fn attempt<D: Db>(number: i64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| corrupt::<D>("an attempt number out of range"))
}
