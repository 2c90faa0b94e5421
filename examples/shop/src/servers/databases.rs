//! The databases of a shop: made when they are missing, found, removed.

use futures_util::future::try_join_all;
use onceward_backend::redis::{self, cmd};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, query_scalar, raw_sql};

use super::{ServerError, Servers, connect};
use crate::notify::QUEUE;

/// On PostgreSQL.
const PARTS: [&str; 4] = ["orders", "stock", "wallet", "tc"];
/// On MariaDB.
pub(super) const NOTIFY: &str = "notify";

impl Servers {
    /// Makes the databases that are missing. Two that do so at once both find them made.
    ///
    /// # Errors
    /// If a server cannot be reached or does not allow it.
    pub async fn create(&self) -> Result<(), ServerError> {
        tokio::try_join!(self.create_postgres(), self.create_mysql())?;
        Ok(())
    }

    async fn create_postgres(&self) -> Result<(), ServerError> {
        let mut postgres: PgConnection = connect("POSTGRES_URL", &self.postgres).await?;
        let missing = self.missing_postgres(&mut postgres).await?;
        let making = missing.iter().map(async |name| {
            // Nobody ever connects to template0, so creating cannot meet "is being accessed by other users".
            let create = format!("create database {name} template template0 encoding 'UTF8'");
            match self.run_postgres(create).await {
                Err(sqlx::Error::Database(answer)) if is_there(&*answer) => Ok(()),
                made => made,
            }
        });
        try_join_all(making).await.map(drop).map_err(|error| ServerError::silent("POSTGRES_URL", error))
    }

    async fn create_mysql(&self) -> Result<(), ServerError> {
        let mut mysql: MySqlConnection = connect("MYSQL_URL", &self.mysql).await?;
        if self.misses_mysql(&mut mysql).await? {
            let create = format!("create database if not exists {} character set utf8mb4", self.database(NOTIFY));
            let made = raw_sql(AssertSqlSafe(create)).execute(&mut mysql).await;
            made.map_err(|error| ServerError::silent("MYSQL_URL", error))?;
        }
        Ok(())
    }

    /// Finds the databases without making any.
    ///
    /// # Errors
    /// Names one that is not there.
    pub async fn exist(&self) -> Result<(), ServerError> {
        let absent = |url, name: &str| {
            ServerError::unusable(url, format!("there is no database {name}; has a shop run under this --namespace?"))
        };
        let mut postgres: PgConnection = connect("POSTGRES_URL", &self.postgres).await?;
        if let Some(name) = self.missing_postgres(&mut postgres).await?.first() {
            return Err(absent("POSTGRES_URL", name));
        }
        let mut mysql: MySqlConnection = connect("MYSQL_URL", &self.mysql).await?;
        if self.misses_mysql(&mut mysql).await? {
            return Err(absent("MYSQL_URL", &self.database(NOTIFY)));
        }
        Ok(())
    }

    /// Removes all that is under the namespace: for demonstrations and tests, whose namespace is their own.
    ///
    /// # Errors
    /// If a server cannot be reached or does not allow it.
    pub async fn remove(&self) -> Result<(), ServerError> {
        tokio::try_join!(self.remove_postgres(), self.remove_mysql(), self.forget(), self.remove_queue())?;
        Ok(())
    }

    /// All at once: each waits for a checkpoint, and one serves them all.
    async fn remove_postgres(&self) -> Result<(), ServerError> {
        let removing = PARTS
            .map(|part| self.run_postgres(format!("drop database if exists {} with (force)", self.database(part))));
        try_join_all(removing).await.map(drop).map_err(|error| ServerError::silent("POSTGRES_URL", error))
    }

    async fn remove_mysql(&self) -> Result<(), ServerError> {
        let mut mysql: MySqlConnection = connect("MYSQL_URL", &self.mysql).await?;
        let remove = format!("drop database if exists {}", self.database(NOTIFY));
        let removed = raw_sql(AssertSqlSafe(remove)).execute(&mut mysql).await;
        removed.map(drop).map_err(|error| ServerError::silent("MYSQL_URL", error))
    }

    async fn remove_queue(&self) -> Result<(), ServerError> {
        let removed = self.broker().remove(QUEUE).await;
        removed.map_err(|error| ServerError::unusable("AMQP_URL", crate::problem::chain(&error)))
    }

    /// Runs one statement on a connection of its own.
    async fn run_postgres(&self, statement: String) -> Result<(), sqlx::Error> {
        let mut postgres = PgConnection::connect_with(&self.postgres).await?;
        raw_sql(AssertSqlSafe(statement)).execute(&mut postgres).await?;
        postgres.close().await
    }

    /// Removes the keys in Redis, as a `FLUSHALL` would that spares the neighbours.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn forget(&self) -> Result<(), ServerError> {
        let redis = self.redis().await?;
        let told = |error| ServerError::silent("REDIS_URL", error);
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(redis.key("*")).arg("COUNT").arg(1_000);
            let (next, keys): (u64, Vec<Vec<u8>>) = redis.command(&scan).await.map_err(told)?;
            if !keys.is_empty() {
                redis.command::<redis::Value>(cmd("UNLINK").arg(keys)).await.map_err(told)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn missing_postgres(&self, conn: &mut PgConnection) -> Result<Vec<String>, ServerError> {
        let mut missing = Vec::new();
        for name in PARTS.map(|part| self.database(part)) {
            let found = query_scalar("select exists (select 1 from pg_database where datname = $1)").bind(&name);
            let found: bool =
                found.fetch_one(&mut *conn).await.map_err(|error| ServerError::silent("POSTGRES_URL", error))?;
            if !found {
                missing.push(name);
            }
        }
        Ok(missing)
    }

    async fn misses_mysql(&self, conn: &mut MySqlConnection) -> Result<bool, ServerError> {
        let found = query_scalar("select count(*) from information_schema.schemata where schema_name = ?");
        let found: i64 = found
            .bind(self.database(NOTIFY))
            .fetch_one(conn)
            .await
            .map_err(|error| ServerError::silent("MYSQL_URL", error))?;
        Ok(found == 0)
    }
}

/// Made by another at the same time: PostgreSQL says so, or meets the name in its catalogue's unique index.
fn is_there(answer: &dyn sqlx::error::DatabaseError) -> bool {
    matches!(answer.code().as_deref(), Some("42P04" | "23505"))
}
