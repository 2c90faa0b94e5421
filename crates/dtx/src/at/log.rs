//! The table `undo_log`: written in phase one with the rows it describes, removed in phase two.

use std::fmt;

use onceward_backend::internal::Sql;
use onceward_backend::{Conn, Db, Dialect};

use crate::DtxError;

mod batch;
mod parked;
mod parts;

pub(crate) use parked::Parked;

/// What stands in `context`: who wrote the row, and the hold of the branch. Pairs, as other resource managers write them.
const OURS: &str = "serializer=onceward";
const NORMAL: i64 = 0;
const GUARD: i64 = 1;

/// The statements on `undo_log` and `dtx_parked`.
pub(crate) struct Log<D: Db>(Sql<D>);

impl<D: Db> fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

/// A row of `undo_log`.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Undo of a branch that has committed locally; see [`Log::whole`]. `beside`: how many of its transaction are parked.
    Undo { context: String, images: Vec<u8>, beside: i64 },
    /// The branch was rolled back before its first phase arrived.
    Guard,
}

/// The context of a row of ours.
pub(crate) fn context(hold: Option<&str>) -> String {
    hold.map_or_else(|| OURS.to_owned(), |hold| format!("{OURS}&hold={hold}"))
}

/// The hold in a context; an error if the row is of another make, which only its maker can undo.
pub(crate) fn hold_of(context: &str) -> Result<Option<&str>, DtxError> {
    let foreign = || DtxError::Resource {
        resource: "undo_log".to_owned(),
        problem: "the undo record was written by another resource manager; let that one end it".to_owned(),
    };
    let rest = context.strip_prefix(OURS).ok_or_else(foreign)?;
    match rest.strip_prefix('&') {
        None if rest.is_empty() => Ok(None),
        None => Err(foreign()),
        Some(_) => Ok(pair(context, "hold=")),
    }
}

/// What stands behind a name in a context.
fn pair<'a>(context: &'a str, name: &str) -> Option<&'a str> {
    context.split('&').find_map(|pair| pair.strip_prefix(name))
}

impl<D: Db> Log<D> {
    pub(crate) fn new() -> Self {
        Self(Sql::new())
    }

    /// Writes the undo of a branch. A guard in its place is a conflict of keys: this branch was rolled back already.
    pub(crate) async fn write(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        context: &str,
        images: &[u8],
    ) -> Result<(), DtxError> {
        let (first, parts) = parts::split(images);
        let context = parts::context(context, parts.len());
        let insert = self.0.sql(
            "insert into undo_log (xid, branch_id, context, rollback_info, log_status, log_created, log_modified) \
             values (?, ?, ?, ?, ?, {now}, {now})",
        );
        insert.bind(xid).bind(branch_id).bind(context.as_str()).bind(first).bind(NORMAL).execute(conn).await?;
        self.write_parts(conn, (xid, branch_id), parts).await
    }

    /// Writes the whole undo of a branch over that of its first statement.
    pub(crate) async fn rewrite(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        context: &str,
        images: &[u8],
    ) -> Result<(), DtxError> {
        let (first, parts) = parts::split(images);
        let context = parts::context(context, parts.len());
        let update = self.0.sql("update undo_log set context = ?, rollback_info = ? where xid = ? and branch_id = ?");
        match update.bind(context.as_str()).bind(first).bind(xid).bind(branch_id).execute(conn).await? {
            1 => self.write_parts(conn, (xid, branch_id), parts).await,
            _ => Err(DtxError::RollbackOnly("its undo record is gone")),
        }
    }

    /// The row of a branch, locked where the database locks rows.
    pub(crate) async fn find(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
    ) -> Result<Option<Entry>, DtxError> {
        let row: Option<(String, Vec<u8>, i64, i64)> = self
            .0
            .sql(
                "select context, rollback_info, log_status, \
                 (select count(*) from dtx_parked p where p.xid = undo_log.xid) \
                 from undo_log where xid = ? and branch_id = ? {for_update}",
            )
            .bind(xid)
            .bind(branch_id)
            .fetch_optional(conn)
            .await?;
        Ok(row.map(|(context, images, status, beside)| match status {
            NORMAL => Entry::Undo { context, images, beside },
            _ => Entry::Guard,
        }))
    }

    /// Bars a first phase that may still come. False if there is a row after all.
    pub(crate) async fn guard(&self, conn: &mut impl Conn<D>, (xid, branch_id): (&str, i64)) -> Result<bool, DtxError> {
        let inserted = self
            .0
            .sql(
                "{insert_ignore} undo_log (xid, branch_id, context, rollback_info, log_status, log_created, log_modified) \
                 values (?, ?, ?, ?, ?, {now}, {now}) {or_ignore}",
            )
            .bind(xid)
            .bind(branch_id)
            .bind(OURS)
            .bind(&[0_u8; 0])
            .bind(GUARD)
            .insert_once(conn)
            .await?;
        Ok(inserted)
    }

    /// Removes the undo of a branch that holds nothing, in one statement.
    pub(crate) async fn remove_plain(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
    ) -> Result<bool, DtxError> {
        let statement =
            self.0.sql("delete from undo_log where xid = ? and branch_id = ? and context = ? and log_status = ?");
        Ok(statement.bind(xid).bind(branch_id).bind(OURS).bind(NORMAL).execute(conn).await? == 1)
    }

    /// Removes the undo of a branch, which has that context.
    pub(crate) async fn remove(
        &self,
        conn: &mut impl Conn<D>,
        name: (&str, i64),
        context: &str,
    ) -> Result<(), DtxError> {
        self.remove_parts(conn, name, context).await?;
        self.remove_row(conn, name).await
    }

    async fn remove_row(&self, conn: &mut impl Conn<D>, (xid, branch_id): (&str, i64)) -> Result<(), DtxError> {
        let statement = self.0.sql("delete from undo_log where xid = ? and branch_id = ?");
        statement.bind(xid).bind(branch_id).execute(conn).await?;
        Ok(())
    }

    /// Transaction, branch and age in microseconds of each undo record, the youngest first.
    pub(crate) async fn all(&self, conn: &mut impl Conn<D>) -> Result<Vec<(String, i64, i64)>, DtxError> {
        // The clock of SQLite counts milliseconds, in which there is room for several.
        let statement = self.0.sql(match D::DIALECT {
            Dialect::Sqlite => {
                "select xid, branch_id, {now} - log_created from undo_log where log_status = ? \
                 order by log_created desc, rowid desc"
            }
            _ => {
                "select xid, branch_id, {now} - log_created from undo_log where log_status = ? \
                 order by log_created desc, branch_id desc"
            }
        });
        Ok(statement.bind(NORMAL).fetch_all(conn).await?)
    }

    /// Removes guards older than that.
    pub(crate) async fn sweep(&self, conn: &mut impl Conn<D>, micros: i64) -> Result<u64, DtxError> {
        let statement = self.0.sql("delete from undo_log where log_status = ? and log_created < {now} - ?");
        Ok(statement.bind(GUARD).bind(micros).execute(conn).await?)
    }

    /// Tries the table out, in a transaction that the caller rolls back: false if it lacks the key on which a late first
    /// phase fails; an error if it lacks a column.
    pub(crate) async fn is_keyed(&self, conn: &mut impl Conn<D>) -> Result<bool, DtxError> {
        let name = ("onceward-verify", 0);
        Ok(self.guard(conn, name).await? && !self.guard(conn, name).await?)
    }

    /// Runs a fixed text without arguments.
    pub(crate) async fn raw(&self, conn: &mut impl Conn<D>, text: &'static str) -> Result<(), DtxError> {
        self.0.sql(text).execute(conn).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_tells_its_maker_and_its_hold() {
        assert_eq!(hold_of(&context(None)).unwrap(), None);
        assert_eq!(hold_of(&context(Some("h1"))).unwrap(), Some("h1"));
        for foreign in ["serializer=jackson&compressorType=NONE", "serializer=onceward2", ""] {
            assert!(hold_of(foreign).is_err(), "{foreign}");
        }
    }
}
