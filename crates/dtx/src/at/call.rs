//! A statement on its way: text and arguments, independent of how the user made it.

use std::sync::Arc;

use onceward_backend::Db;
use sqlx::error::BoxDynError;
use sqlx::{AssertSqlSafe, Database, Execute, SqlSafeStr, SqlStr};

/// Asserts the safety of texts that this crate put together: the user's own statement, which the user asserted already,
/// and quoted names from the catalogue. The only place that does.
pub(crate) fn safe(text: String) -> SqlStr {
    // `Arc` inside: a clone costs no copy.
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// A statement that can be run again with another text.
pub(crate) struct Call<D: Database> {
    pub(crate) sql: SqlStr,
    pub(crate) args: Option<D::Arguments>,
    pub(crate) statement: Option<D::Statement>,
    pub(crate) persistent: bool,
}

impl<D: Database> std::fmt::Debug for Call<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("sql", &self.sql.as_str()).finish_non_exhaustive()
    }
}

impl<D: Db> Call<D> {
    /// Takes a query apart. The order matters: taking the arguments makes `Map` forget whether it is persistent, and
    /// `sql` consumes.
    pub(crate) fn take<'q>(mut query: impl Execute<'q, D>) -> Result<Self, BoxDynError> {
        let statement = query.statement().cloned();
        let persistent = query.persistent();
        let args = query.take_arguments()?;
        Ok(Self { sql: query.sql(), args, statement, persistent })
    }

    /// The same with arguments, if only none: a text without any may travel by a protocol that takes several statements at
    /// once and answers in texts.
    pub(crate) fn bound(mut self) -> Self {
        self.args.get_or_insert_default();
        self
    }

    /// A statement of ours.
    pub(crate) fn own(sql: SqlStr, args: D::Arguments) -> Self {
        Self { sql, args: Some(args), statement: None, persistent: true }
    }

    /// The same arguments for another text, without the metadata of the old one.
    pub(crate) fn with_text(&self, sql: &SqlStr) -> Self {
        Self { sql: sql.clone(), args: self.args.clone(), statement: None, persistent: self.persistent }
    }
}

impl<'q, D: Db> Execute<'q, D> for Call<D> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&D::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<D::Arguments>, BoxDynError> {
        Ok(self.args.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}
