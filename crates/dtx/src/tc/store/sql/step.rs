//! Steps of one transaction, inside of a database transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use onceward_backend::{BackendError, Conn, Db};

use super::SqlStore;
use super::rows::{ids, micros};
use crate::coordinator::NewBranch;
use crate::tc::lock::LockKey;
use crate::tc::state::{Decision, GlobalStatus, decided};
use crate::tc::store::{Decided, Registration};

impl<D: Db> SqlStore<D> {
    /// Registers a branch. What it changed has to be rolled back unless it answers `Registered`.
    ///
    /// READ COMMITTED is enough: the row of the transaction is locked by its update, so registrations of one transaction and
    /// its decision follow each other, and a lock row is taken by its primary key.
    pub(super) async fn register_in(
        &self,
        conn: &mut impl Conn<D>,
        branch: &NewBranch,
    ) -> Result<Registration, BackendError> {
        let (sql, xid) = (&self.sql, branch.xid.as_str());
        let open = sql
            .sql("update dtx_global set branches = branches + 1 where xid = ? and status + 0 = 1 and deadline > {now}")
            .bind(xid)
            .execute(conn)
            .await?;
        if open == 0 {
            let standing = self.standing(conn, xid).await?;
            return Ok(Registration::Ended(standing.map(|standing| standing.status)));
        }
        let added = sql
            .sql(
                "{insert_ignore} dtx_branch (xid, branch_id, number, resource_id, status, locks) \
                 select xid, ?, branches, ?, 1, ? from dtx_global where xid = ? {or_ignore}",
            )
            .bind(branch.branch_id)
            .bind(&branch.resource_id)
            .bind(&ids(&branch.locks))
            .bind(xid)
            .insert_once(conn)
            .await?;
        if !added {
            return Ok(Registration::Registered);
        }
        self.take_all(conn, xid, &branch.locks).await
    }

    /// Takes rows without a branch; the same holds as for [`register_in`](Self::register_in).
    pub(super) async fn take_in(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
        locks: &[LockKey],
    ) -> Result<Registration, BackendError> {
        let open = self
            .sql
            .sql("update dtx_global set tries = tries where xid = ? and status + 0 = 1 and deadline > {now}")
            .bind(xid)
            .execute(conn)
            .await?;
        if open == 0 {
            let standing = self.standing(conn, xid).await?;
            return Ok(Registration::Ended(standing.map(|standing| standing.status)));
        }
        self.take_all(conn, xid, locks).await
    }

    /// Takes all rows for a transaction whose row is locked.
    async fn take_all(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
        locks: &[LockKey],
    ) -> Result<Registration, BackendError> {
        if let Some(conflict) = self.queued(conn, xid, locks).await? {
            return Ok(Registration::Conflict(conflict));
        }
        // In one order everywhere, so that two registrations never wait for each other in a circle.
        let locks: BTreeMap<_, _> = locks.iter().map(|lock| (lock.id(), lock)).collect();
        for (id, lock) in locks {
            loop {
                if self.take_lock(conn, xid, &id, lock).await? {
                    break;
                }
                match self.holder(conn, lock).await? {
                    Some(conflict) if conflict.holder == xid => break,
                    Some(conflict) => return Ok(Registration::Conflict(conflict)),
                    // Freed between the two statements.
                    None => {}
                }
            }
        }
        Ok(Registration::Registered)
    }

    pub(super) async fn decide_in(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
        decision: Decision,
        due: Duration,
    ) -> Result<Option<Decided>, BackendError> {
        let reason = match decision {
            Decision::Commit => None,
            Decision::Rollback(reason) => Some(reason.code()),
        };
        let [with, without] = [true, false].map(|has| decided(GlobalStatus::Active, decision, has).code());
        let moved = self
            .sql
            .sql(
                "update dtx_global set status = case when branches > 0 then ? else ? end, reason = ?, due = {now} + ?, \
                 ended = case when branches > 0 then null else {now} end where xid = ? and status + 0 = 1",
            )
            .bind(with)
            .bind(without)
            .bind(reason)
            .bind(micros(due))
            .bind(xid)
            .execute(conn)
            .await?;
        let Some(standing) = self.standing(conn, xid).await? else { return Ok(None) };
        let frees = moved == 1 && (decision == Decision::Commit || standing.status.is_over());
        let wanted = frees && self.free(conn, xid, &[]).await?;
        Ok(Some(Decided { standing, wanted }))
    }
}
