//! What could not be undone, until a person decides.

use onceward_backend::{Conn, Db, Dialect};

use super::Log;
use crate::DtxError;

/// A parked branch.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) reason: String,
    pub(crate) context: String,
    /// As its row has them; see [`Log::whole`].
    pub(crate) images: Vec<u8>,
    /// In microseconds.
    pub(crate) age: i64,
}

impl<D: Db> Log<D> {
    /// Moves the undo of a branch to the parked ones.
    pub(crate) async fn park(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        reason: &str,
    ) -> Result<(), DtxError> {
        self.0
            .sql(
                "insert into dtx_parked (xid, branch_id, reason, context, rollback_info, parked) \
                 select xid, branch_id, ?, context, rollback_info, {now} from undo_log where xid = ? and branch_id = ?",
            )
            .bind(reason)
            .bind(xid)
            .bind(branch_id)
            .execute(conn)
            .await?;
        self.remove_row(conn, (xid, branch_id)).await
    }

    pub(crate) async fn is_parked(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
    ) -> Result<bool, DtxError> {
        let row: Option<(i64,)> = self
            .0
            .sql("select branch_id from dtx_parked where xid = ? and branch_id = ?")
            .bind(xid)
            .bind(branch_id)
            .fetch_optional(conn)
            .await?;
        Ok(row.is_some())
    }

    /// Branch, context and images of each parked branch of a transaction, the images as their rows have them.
    pub(crate) async fn parked_of(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
    ) -> Result<Vec<(i64, String, Vec<u8>)>, DtxError> {
        let select = self.0.sql("select branch_id, context, rollback_info from dtx_parked where xid = ?");
        Ok(select.bind(xid).fetch_all(conn).await?)
    }

    /// The branch of a transaction that was parked first, which is the one that came last of them.
    pub(crate) async fn last_parked(&self, conn: &mut impl Conn<D>, xid: &str) -> Result<Option<i64>, DtxError> {
        let select = self.0.sql(match D::DIALECT {
            Dialect::Sqlite => "select branch_id from dtx_parked where xid = ? order by parked, rowid limit 1",
            _ => "select branch_id from dtx_parked where xid = ? order by parked, branch_id desc limit 1",
        });
        let row: Option<(i64,)> = select.bind(xid).fetch_optional(conn).await?;
        Ok(row.map(|(branch_id,)| branch_id))
    }

    /// Transaction, branch, reason and age in microseconds of each parked branch.
    pub(crate) async fn parked(&self, conn: &mut impl Conn<D>) -> Result<Vec<(String, i64, String, i64)>, DtxError> {
        let statement = self.0.sql("select xid, branch_id, reason, {now} - parked from dtx_parked order by parked");
        Ok(statement.fetch_all(conn).await?)
    }

    /// A parked branch, locked where the database locks rows.
    pub(crate) async fn parked_one(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
    ) -> Result<Option<Parked>, DtxError> {
        let row: Option<(String, String, Vec<u8>, i64)> = self
            .0
            .sql(
                "select reason, context, rollback_info, {now} - parked from dtx_parked where xid = ? and branch_id = ? \
                 {for_update}",
            )
            .bind(xid)
            .bind(branch_id)
            .fetch_optional(conn)
            .await?;
        Ok(row.map(|(reason, context, images, age)| Parked { reason, context, images, age }))
    }

    /// Foreign keys that point to no row, where the database says so only at the commit.
    pub(crate) async fn dangling(&self, conn: &mut impl Conn<D>) -> Result<i64, DtxError> {
        if D::DIALECT != Dialect::Sqlite {
            return Ok(0);
        }
        let (count,) = self.0.sql("select count(*) from pragma_foreign_key_check").fetch_one(conn).await?;
        Ok(count)
    }

    /// Moves a parked branch to the repaired ones, with resource, action, who and why.
    pub(crate) async fn repaired(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        [resource_id, action, who, note]: [&str; 4],
    ) -> Result<(), DtxError> {
        self.0
            .sql(
                "insert into dtx_repair (xid, branch_id, resource_id, action, who, note, reason, context, rollback_info, \
                 parked, repaired) select xid, branch_id, ?, ?, ?, ?, reason, context, rollback_info, parked, {now} \
                 from dtx_parked where xid = ? and branch_id = ?",
            )
            .bind(resource_id)
            .bind(action)
            .bind(who)
            .bind(note)
            .bind(xid)
            .bind(branch_id)
            .execute(conn)
            .await?;
        let delete = self.0.sql("delete from dtx_parked where xid = ? and branch_id = ?");
        delete.bind(xid).bind(branch_id).execute(conn).await?;
        Ok(())
    }
}
