//! A watch on tables that branches change: who else writes to them, past the row locks?

use std::time::Duration;

use onceward_backend::internal::{Sql, begin, commit};

use super::At;
use super::capture::AtDb;
use crate::list::listed;
use crate::{DtxError, place};

/// What a watch does with a write that does not come through AT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Lets it pass, and notes it for [`At::bypasses`].
    Report,
    /// Fails it, with an error that says what to do.
    Refuse,
}

impl Watch {
    /// A stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Refuse => "refuse",
        }
    }
}

/// A write that a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BypassInfo {
    /// By which it is forgotten.
    pub id: i64,
    /// The table, or the partition that the statement named.
    pub table: String,
    /// `INSERT`, `UPDATE`, `DELETE` or `TRUNCATE`.
    pub operation: String,
    /// As whom the session had logged in; unknown on SQLite, as all that follows.
    pub user: Option<String>,
    /// What the session calls itself.
    pub application: Option<String>,
    /// The address that it came from; none by a local socket.
    pub client: Option<String>,
    /// The beginning of its statement as the server got it, without bound values.
    pub query: Option<String>,
    /// Since it was written.
    pub age: Duration,
}

impl<D: AtDb> At<D> {
    /// Watches a table for writes that do not come through AT: those see no global lock, and what they change may be taken back
    /// under them, or park a rollback. The table is named as a statement names it on PostgreSQL, and without quotes on SQLite.
    ///
    /// The watch is a trigger of the database, so it holds for every program and survives a restart, until
    /// [`unwatch`](Self::unwatch). Branches, [`At::local`], the undo and repairs pass; [`At::unprotected`] and your own pool do
    /// not. Installing it twice is as once, also by several processes; with the other mode, it changes. On PostgreSQL the
    /// partitions that are there are watched too: install it anew after attaching one.
    ///
    /// ```
    /// # use onceward_dtx::{At, DtxError, Watch, sqlx::Sqlite};
    /// # async fn example(at: At<Sqlite>) -> Result<(), DtxError> {
    /// at.watch("account", Watch::Report).await?;
    /// // A day later:
    /// let seen = at.bypasses(100).await?;
    /// for write in &seen {
    ///     println!("{} of {} by {:?}: {:?}", write.operation, write.table, write.user, write.query);
    /// }
    /// at.forget_bypasses(&seen).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DtxError::Refused`] if branches could not change the table. On PostgreSQL, of the database if the role may not make
    /// triggers on it, or if a long write keeps the table for more than five seconds.
    pub async fn watch(&self, table: &str, mode: Watch) -> Result<(), DtxError> {
        let mut tx = begin(&self.0.pool).await?;
        let table = D::table(&mut tx, table, &self.options().tables).await?;
        D::watch(&mut tx, &table.name, Some(mode)).await?;
        commit(tx).await?;
        self.forget_plans();
        Ok(())
    }

    /// Ends the watch of a table, if there is one. What it has found stays until it is forgotten.
    ///
    /// # Errors
    /// [`DtxError::Refused`] if there is no such table; else as [`watch`](Self::watch).
    pub async fn unwatch(&self, table: &str) -> Result<(), DtxError> {
        let mut tx = begin(&self.0.pool).await?;
        D::watch(&mut tx, table, None).await?;
        commit(tx).await?;
        self.forget_plans();
        Ok(())
    }

    /// The watched tables, as the catalogue spells them.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn watched(&self) -> Result<Vec<(String, Watch)>, DtxError> {
        D::watches(&mut *self.0.pool.acquire().await?).await
    }

    /// What the watches have found, the oldest first, at most that many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn bypasses(&self, limit: u32) -> Result<Vec<BypassInfo>, DtxError> {
        type Row = (i64, String, String, Option<String>, Option<String>, Option<String>, Option<String>, i64);
        let sql = Sql::<D>::new();
        let select = sql.sql(
            "select id, table_name, operation, who, application, client, query, {now} - seen from dtx_bypass \
             order by id limit ?",
        );
        let rows: Vec<Row> = select.bind(i64::from(limit)).fetch_all(&mut self.0.pool.acquire().await?).await?;
        let info = |(id, table, operation, user, application, client, query, age): Row| {
            let age = place::age(age);
            BypassInfo { id, table, operation, user, application, client, query, age }
        };
        Ok(rows.into_iter().map(info).collect())
    }

    pub(super) async fn count_bypasses(&self) -> Result<u64, DtxError> {
        let sql = Sql::<D>::new();
        let (count,): (i64,) =
            sql.sql("select count(*) from dtx_bypass").fetch_one(&mut self.0.undo_pool.acquire().await?).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Forgets writes that were listed, and answers how many of them were still there.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn forget_bypasses(&self, seen: &[BypassInfo]) -> Result<u64, DtxError> {
        // By their ids and not up to one: a lower one may belong to a transaction that has not ended yet.
        let ids: Vec<_> = seen.iter().map(|write| write.id.to_string()).collect();
        let delete = listed!(D::DIALECT, "delete from dtx_bypass where cast(id as text) in ", "");
        let sql = Sql::<D>::new();
        let delete = sql.sql(delete).bind(ids.join(" ").as_str());
        Ok(delete.execute(&mut self.0.pool.acquire().await?).await?)
    }
}
