//! Undo records that are too large for one row: the rest lies in `dtx_undo_part`, and the context says how many rows that are.

use onceward_backend::{Conn, Db};

use super::{Log, pair};
use crate::DtxError;

/// So much of a record lies in one row. Servers bound what they take at once; 16 MiB is usual.
const PART: usize = 4 * 1024 * 1024;

/// What the row itself takes, and the rest.
pub(super) fn split(images: &[u8]) -> (&[u8], impl ExactSizeIterator<Item = &[u8]>) {
    let (first, rest) = images.split_at(images.len().min(PART));
    (first, rest.chunks(PART))
}

/// The context of a record with so many further parts.
pub(super) fn context(context: &str, parts: usize) -> String {
    if parts == 0 { context.to_owned() } else { format!("{context}&parts={parts}") }
}

fn parts_of(context: &str) -> Result<usize, DtxError> {
    pair(context, "parts=").map_or(Ok(0), |parts| parts.parse().map_err(|_| DtxError::Corrupt("a number of parts")))
}

impl<D: Db> Log<D> {
    pub(super) async fn write_parts<'a>(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), DtxError> {
        for (at, bytes) in (0_i64..).zip(parts) {
            let insert = self.0.sql("insert into dtx_undo_part (xid, branch_id, part, bytes) values (?, ?, ?, ?)");
            insert.bind(xid).bind(branch_id).bind(at).bind(bytes).execute(conn).await?;
        }
        Ok(())
    }

    /// The whole record, of which `images` is what stands in its row.
    pub(crate) async fn whole(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        context: &str,
        mut images: Vec<u8>,
    ) -> Result<Vec<u8>, DtxError> {
        let parts = parts_of(context)?;
        if parts > 0 {
            let select = self.0.sql("select bytes from dtx_undo_part where xid = ? and branch_id = ? order by part");
            let found: Vec<(Vec<u8>,)> = select.bind(xid).bind(branch_id).fetch_all(conn).await?;
            if found.len() != parts {
                return Err(DtxError::Corrupt("a part of it is missing"));
            }
            found.iter().for_each(|(bytes,)| images.extend_from_slice(bytes));
        }
        Ok(images)
    }

    pub(super) async fn remove_parts(
        &self,
        conn: &mut impl Conn<D>,
        (xid, branch_id): (&str, i64),
        context: &str,
    ) -> Result<(), DtxError> {
        if pair(context, "parts=").is_some() {
            let delete = self.0.sql("delete from dtx_undo_part where xid = ? and branch_id = ?");
            delete.bind(xid).bind(branch_id).execute(conn).await?;
        }
        Ok(())
    }
}
