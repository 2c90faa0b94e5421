//! Rows of the coordinator's tables, read and freed.

use std::time::Duration;

use onceward_backend::internal::Statement;
use onceward_backend::{BackendError, Conn, Db};

use super::super::{Conflict, Due, Standing};
use super::SqlStore;
use crate::coordinator::BranchInfo;
use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, GlobalStatus, Reason};

impl<D: Db> SqlStore<D> {
    pub(super) async fn standing(&self, conn: &mut impl Conn<D>, xid: &str) -> Result<Option<Standing>, BackendError> {
        let row: Option<(i64, Option<i64>)> =
            self.sql.sql("select status, reason from dtx_global where xid = ?").bind(xid).fetch_optional(conn).await?;
        row.map(|(status, reason)| {
            Ok(Standing { status: status_of(status)?, reason: reason.and_then(Reason::from_code) })
        })
        .transpose()
    }

    pub(super) async fn branches_of(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
    ) -> Result<Vec<(BranchInfo, String)>, BackendError> {
        let rows: Vec<(i64, String, i64, String)> = self
            .sql
            .sql("select branch_id, resource_id, status, locks from dtx_branch where xid = ? order by number")
            .bind(xid)
            .fetch_all(conn)
            .await?;
        rows.into_iter()
            .map(|(branch_id, resource_id, status, locks)| {
                let status = BranchStatus::from_code(status).ok_or_else(|| corrupt("branch status"))?;
                Ok((BranchInfo { branch_id, resource_id, status }, locks))
            })
            .collect()
    }

    /// The holder of a lock that could not be taken; none if it was freed meanwhile. One whose commit is decided, or which is
    /// over and has nothing parked, holds nothing: a lock that it was given at that very moment goes with the first who asks.
    pub(super) async fn holder(
        &self,
        conn: &mut impl Conn<D>,
        lock: &LockKey,
    ) -> Result<Option<Conflict>, BackendError> {
        let row: Option<(String, Option<i64>)> = self
            .sql
            .sql("select l.xid, g.status from dtx_lock l left join dtx_global g on g.xid = l.xid where l.lock_id = ?")
            .bind(&lock.id())
            .fetch_optional(conn)
            .await?;
        let Some((holder, status)) = row else { return Ok(None) };
        let status = status.map_or(Ok(GlobalStatus::Parked), status_of)?;
        if matches!(status, GlobalStatus::Committing | GlobalStatus::Committed | GlobalStatus::RolledBack) {
            let free = self.sql.sql("delete from dtx_lock where lock_id = ? and xid = ?");
            free.bind(&lock.id()).bind(&holder).execute(conn).await?;
            return Ok(None);
        }
        Ok(Some(Conflict { lock: lock.clone(), holder, status }))
    }

    /// Takes a lock that nobody holds; false if somebody does.
    pub(super) async fn take_lock(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
        id: &str,
        lock: &LockKey,
    ) -> Result<bool, BackendError> {
        self.sql
            .sql(
                "{insert_ignore} dtx_lock (lock_id, xid, resource_id, table_name, row_key, since) \
                 values (?, ?, ?, ?, ?, {now}) {or_ignore}",
            )
            .bind(id)
            .bind(xid)
            .bind(&lock.resource_id)
            .bind(&lock.table)
            .bind(&lock.key)
            .insert_once(conn)
            .await
    }

    /// Frees the locks of a transaction but the kept ones, and answers if somebody waits for one of them.
    pub(super) async fn free(&self, conn: &mut impl Conn<D>, xid: &str, kept: &[String]) -> Result<bool, BackendError> {
        let held: Vec<(String, bool)> = self
            .sql
            .sql(
                "select lock_id, exists (select 1 from dtx_wait w where w.lock_id = dtx_lock.lock_id) from dtx_lock \
                 where xid = ?",
            )
            .bind(xid)
            .fetch_all(conn)
            .await?;
        let freed: Vec<_> = held.into_iter().filter(|(id, _)| !kept.contains(id)).collect();
        let wanted = freed.iter().any(|(_, wanted)| *wanted);
        if kept.is_empty() && !freed.is_empty() {
            self.sql.sql("delete from dtx_lock where xid = ?").bind(xid).execute(conn).await?;
            return Ok(wanted);
        }
        for (id, _) in &freed {
            self.sql.sql("delete from dtx_lock where lock_id = ? and xid = ?").bind(id).bind(xid).execute(conn).await?;
        }
        Ok(wanted)
    }
}

pub(super) async fn dues<D: Db>(select: Statement<D>, conn: &mut impl Conn<D>) -> Result<Vec<Due>, BackendError> {
    let rows: Vec<(String, i64, i64)> = select.fetch_all(conn).await?;
    rows.into_iter()
        .map(|(xid, status, tries)| {
            Ok(Due { xid, status: status_of(status)?, tries: u32::try_from(tries).unwrap_or(u32::MAX) })
        })
        .collect()
}

pub(super) fn status_of(code: i64) -> Result<GlobalStatus, BackendError> {
    GlobalStatus::from_code(code).ok_or_else(|| corrupt("status of a global transaction"))
}

pub(super) fn corrupt(what: &'static str) -> BackendError {
    BackendError::corrupt("dtx", what)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// The ids of a branch's locks, so that those of a parked one can be told from the rest.
pub(super) fn ids(locks: &[LockKey]) -> String {
    let mut ids: Vec<_> = locks.iter().map(LockKey::id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.join(";")
}
