use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use onceward_backend::{BackendError, Db, Migrations, internal::Sql};
use sqlx::Pool;

use super::{CodeLedger, Entry, FlowStore, Stored, TokenVault};
use crate::Digest;

/// Logins, codes and tokens in a SQL database, in tables with the prefix `oauth_`.
///
/// Each operation is one statement with its condition in it; any isolation level from READ COMMITTED will do. Life and
/// leases are on the database's clock. A clone is the same store.
pub struct SqlStore<D: Db> {
    pool: Pool<D>,
    sql: Arc<Sql<D>>,
}

/// [`SqlStore`] on SQLite.
#[cfg(feature = "sqlite")]
pub type SqliteStore = SqlStore<sqlx::Sqlite>;
/// [`SqlStore`] on PostgreSQL.
#[cfg(feature = "postgres")]
pub type PostgresStore = SqlStore<sqlx::Postgres>;
/// [`SqlStore`] on MariaDB and MySQL.
#[cfg(feature = "mysql")]
pub type MySqlStore = SqlStore<sqlx::MySql>;

const MIGRATIONS: Migrations = Migrations::new("oauth-client", &[(1, include_str!("../../sql/0001_init.sql"))]);

impl<D: Db> SqlStore<D> {
    /// A store on this pool; [`migrate`](Self::migrate) creates its tables.
    #[must_use]
    pub fn new(pool: Pool<D>) -> Self {
        Self { pool, sql: Arc::new(Sql::new()) }
    }

    /// Creates or upgrades the tables; harmless when they are up to date.
    ///
    /// # Errors
    /// The database's.
    pub async fn migrate(&self) -> Result<(), BackendError> {
        MIGRATIONS.run(&self.pool).await
    }
}

#[async_trait]
impl<D: Db> FlowStore for SqlStore<D> {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let sql = "{insert_ignore} oauth_flow (id, version, written_at, expires_at, body) \
                   values (?, 1, {now}, {now} + ?, ?) {or_ignore}";
        let mut conn = self.pool.acquire().await?;
        let inserted = self.sql.sql(sql).bind(&id.to_hex()).bind(micros(ttl)).bind(body).execute(&mut conn).await?;
        Ok(inserted == 1)
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        let sql = "select version, {now} - written_at, expires_at - {now}, body \
                   from oauth_flow where id = ? and expires_at > {now}";
        let mut conn = self.pool.acquire().await?;
        let row = self.sql.sql(sql).bind(&id.to_hex()).fetch_optional::<(i64, i64, i64, Vec<u8>)>(&mut conn).await?;
        Ok(row.map(|(version, age, left, body)| Entry { version, body, age: duration(age), left: duration(left) }))
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let sql = "update oauth_flow set version = version + 1, written_at = {now}, expires_at = {now} + ?, body = ? \
                   where id = ? and version = ? and expires_at > {now}";
        let mut conn = self.pool.acquire().await?;
        let statement = self.sql.sql(sql).bind(micros(ttl)).bind(body).bind(&id.to_hex()).bind(version);
        Ok(statement.execute(&mut conn).await? == 1)
    }

    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError> {
        // The inner select has a name of its own because MySQL does not delete from a table that it reads.
        let sql = "delete from oauth_flow where id in (select id from \
                   (select id from oauth_flow where expires_at <= {now} order by expires_at limit ?) old)";
        let mut conn = self.pool.acquire().await?;
        self.sql.sql(sql).bind(i64::from(limit)).execute(&mut conn).await
    }
}

#[async_trait]
impl<D: Db> CodeLedger for SqlStore<D> {
    async fn first_use(&self, code: &Digest, ttl: Duration) -> Result<bool, BackendError> {
        let sql = "{insert_ignore} oauth_code (id, expires_at) values (?, {now} + ?) {or_ignore}";
        let mut conn = self.pool.acquire().await?;
        Ok(self.sql.sql(sql).bind(&code.to_hex()).bind(micros(ttl)).execute(&mut conn).await? == 1)
    }

    async fn purge_codes(&self, limit: u32) -> Result<u64, BackendError> {
        let sql = "delete from oauth_code where id in (select id from \
                   (select id from oauth_code where expires_at <= {now} order by expires_at limit ?) old)";
        let mut conn = self.pool.acquire().await?;
        self.sql.sql(sql).bind(i64::from(limit)).execute(&mut conn).await
    }
}

#[async_trait]
impl<D: Db> TokenVault for SqlStore<D> {
    async fn load_tokens(&self, account: &Digest) -> Result<Option<Stored>, BackendError> {
        let mut conn = self.pool.acquire().await?;
        let row = self
            .sql
            .sql("select version, body from oauth_token where id = ?")
            .bind(&account.to_hex())
            .fetch_optional::<(i64, Vec<u8>)>(&mut conn)
            .await?;
        Ok(row.map(|(version, body)| Stored { version, body }))
    }

    async fn store_tokens_if(
        &self,
        account: &Digest,
        expected: Option<i64>,
        body: &[u8],
    ) -> Result<bool, BackendError> {
        let id = account.to_hex();
        let statement = match expected {
            Some(version) => self
                .sql
                .sql("update oauth_token set version = version + 1, body = ? where id = ? and version = ?")
                .bind(body)
                .bind(&id)
                .bind(version),
            // Versions start at the clock, so that one from before a deletion never fits again.
            None => self
                .sql
                .sql("{insert_ignore} oauth_token (id, version, body) values (?, {now}, ?) {or_ignore}")
                .bind(&id)
                .bind(body),
        };
        let mut conn = self.pool.acquire().await?;
        Ok(statement.execute(&mut conn).await? == 1)
    }

    async fn delete_tokens(&self, account: &Digest) -> Result<bool, BackendError> {
        let mut conn = self.pool.acquire().await?;
        let statement = self.sql.sql("delete from oauth_token where id = ?").bind(&account.to_hex());
        Ok(statement.execute(&mut conn).await? == 1)
    }
}

fn micros(ttl: Duration) -> i64 {
    // A century is for ever, and leaves room to add it to the clock.
    i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX).min(100 * 366 * 86_400 * 1_000_000)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

// By hand: a derive would ask the database type itself to be Clone and Debug.
impl<D: Db> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sql: Arc::clone(&self.sql) }
    }
}

impl<D: Db> fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}
