//! A database and its statements, rendered once: what each feature's tables are reached through.

use std::fmt;

use onceward_backend::internal::{Sql, Statement};
use onceward_backend::{BackendError, Db};
use sqlx::Pool;
use sqlx::pool::PoolConnection;

/// The tables of one feature on a database `D`. Statements are templates with `?` for values and `{slots}` for what
/// differs between databases.
pub struct Tables<D: Db> {
    pool: Pool<D>,
    sql: Sql<D>,
}

impl<D: Db> Tables<D> {
    /// Tables behind `pool`.
    pub fn new(pool: Pool<D>) -> Self {
        Self { pool, sql: Sql::new() }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool<D> {
        &self.pool
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn conn(&self) -> Result<PoolConnection<D>, BackendError> {
        Ok(self.pool.acquire().await?)
    }

    /// A statement, to be given its values and run on a connection, a transaction or a branch.
    pub fn sql(&self, template: &'static str) -> Statement<D> {
        self.sql.sql(template)
    }
}

impl<D: Db> fmt::Debug for Tables<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("dialect", &D::DIALECT).finish_non_exhaustive()
    }
}
