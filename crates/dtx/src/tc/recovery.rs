//! The second phase, driven by the caller, by the worker and after a restart.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use onceward_backend::internal::{Progress, mark, random_unit, work};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Tc;
use super::state::{BranchStatus, Decision, GlobalStatus, Reason};
use super::store::Due;
use crate::DtxError;
use crate::coordinator::rm::{Resource, Undone};
use crate::coordinator::{BranchInfo, Recovered};

/// Transactions that the worker takes at once; those of them that are not committed together; and those driven side by side.
const BATCH: i64 = 1_000;
const OTHERS: usize = 64;
pub(super) const ABREAST: usize = 8;
/// How long decisions gather before the worker takes them: nobody waits for a second phase of a commit, and one statement
/// for many is cheaper for everyone.
const GATHER: Duration = Duration::from_millis(10);
/// How often outcomes are looked through for old ones, and parked branches for repaired ones.
const PURGE: Duration = Duration::from_secs(60);

impl Tc {
    /// Asks every open branch of a decided transaction for its second phase and notes the answers. Safe to run twice at
    /// the same time: every step of it is repeatable.
    pub(super) async fn drive(&self, xid: &str, status: GlobalStatus, tries: u32) -> Result<GlobalStatus, DtxError> {
        let mut branches = self.0.store.branches(xid).await?;
        branches.retain(|branch| branch.status == BranchStatus::Registered);
        if status == GlobalStatus::RollingBack {
            branches.reverse();
        }
        let mut ends = Vec::new();
        // A branch that cannot be undone yet keeps the earlier ones of its resource waiting: their rows may be the same.
        let mut waiting = HashSet::new();
        for (at, branch) in branches.iter().enumerate() {
            if at > 0 {
                mark("dtx.phase_two");
            }
            if waiting.contains(&branch.resource_id) {
                continue;
            }
            match self.second_phase(xid, status, branch).await {
                Ok(end) => ends.push((branch.branch_id, end)),
                Err(error) => {
                    waiting.insert(branch.resource_id.clone());
                    put_off(xid, &branch.resource_id, &error);
                }
            }
        }
        self.settle(xid, status, tries, &ends).await
    }

    /// Notes what became of branches, and when to ask again if that was not all.
    pub(super) async fn settle(
        &self,
        xid: &str,
        status: GlobalStatus,
        tries: u32,
        ends: &[(i64, BranchStatus)],
    ) -> Result<GlobalStatus, DtxError> {
        let Some(decided) = self.0.store.settle(xid, ends).await? else { return Ok(status) };
        self.freed(&decided).await;
        let status = decided.standing.status;
        if !status.is_over() {
            let pause = self.0.options.retry.delay(tries.saturating_add(1), random_unit());
            self.0.store.postpone(xid, pause).await?;
        } else if status == GlobalStatus::Parked {
            metrics::counter!("onceward_dtx_parked_total").increment(1);
            tracing::error!(xid, "rolled back except for parked branches: a person has to choose");
        }
        Ok(status)
    }

    pub(super) async fn second_phase(
        &self,
        xid: &str,
        status: GlobalStatus,
        branch: &BranchInfo,
    ) -> Result<BranchStatus, DtxError> {
        let resource = self.resource(&branch.resource_id)?;
        if status == GlobalStatus::Committing {
            resource.commit(xid, branch.branch_id).await?;
            return Ok(BranchStatus::Done);
        }
        Ok(match resource.rollback(xid, branch.branch_id).await? {
            Undone::Done => BranchStatus::Done,
            Undone::Parked => BranchStatus::Parked,
        })
    }

    /// Asks for a parked branch again. Of one that was repaired nothing remains, though the coordinator may not have heard so.
    pub(super) async fn ask_parked(&self, xid: &str, branch: &BranchInfo) -> Result<(), DtxError> {
        if branch.status == BranchStatus::Parked {
            let end = self.second_phase(xid, GlobalStatus::RollingBack, branch).await?;
            if let Some(decided) = self.0.store.settle(xid, &[(branch.branch_id, end)]).await? {
                self.freed(&decided).await;
            }
        }
        Ok(())
    }

    /// Asks for all parked branches again, and counts those that stay.
    async fn ask_all_parked(&self) -> Result<(), DtxError> {
        for (xid, branch) in self.0.store.parked().await? {
            if let Err(error) = self.ask_parked(&xid, &branch).await {
                tracing::warn!(xid, resource = branch.resource_id, %error, "a parked branch was not asked for");
            }
        }
        let parked = u32::try_from(self.0.store.parked().await?.len()).unwrap_or(u32::MAX);
        metrics::gauge!("onceward_dtx_parked_branches").set(parked);
        Ok(())
    }

    pub(super) fn resource(&self, id: &str) -> Result<Arc<dyn Resource>, DtxError> {
        self.0.rm.get().cloned().unwrap_or_default().find(id)
    }

    /// Decides an open transaction for `reason` and drives it, or drives a decided one.
    async fn advance(&self, due: &Due, reason: Reason) -> Result<GlobalStatus, DtxError> {
        if due.status != GlobalStatus::Active {
            return self.drive(&due.xid, due.status, due.tries).await;
        }
        let standing = self.decide(&due.xid, Decision::Rollback(reason), Duration::ZERO).await?.standing;
        if standing.status.is_over() {
            return Ok(standing.status);
        }
        self.drive(&due.xid, standing.status, 0).await
    }

    pub(super) async fn recover_all(&self) -> Result<Recovered, DtxError> {
        let mut found = Recovered::default();
        for due in self.0.store.unfinished().await? {
            match self.advance(&due, Reason::Recovered).await? {
                GlobalStatus::Committed => found.committed += 1,
                GlobalStatus::RolledBack => found.rolled_back += 1,
                GlobalStatus::Parked => found.parked += 1,
                GlobalStatus::Active | GlobalStatus::Committing | GlobalStatus::RollingBack => found.pending += 1,
            }
        }
        self.ask_all_parked().await?;
        tracing::info!(?found, "recovered");
        Ok(found)
    }

    pub(super) async fn work(&self, shutdown: CancellationToken) {
        let purged = Mutex::new(None::<Instant>);
        work("dtx-coordinator", self.0.options.poll, &self.0.wake, &shutdown, || self.step(&purged)).await;
    }

    async fn step(&self, purged: &Mutex<Option<Instant>>) -> Result<Progress, DtxError> {
        let last = *purged.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= PURGE) {
            self.0.store.purge(self.0.options.retention).await?;
            self.ask_all_parked().await?;
            *purged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.leave().await?;
        tokio::time::sleep(GATHER).await;
        let due = self.0.store.due(BATCH).await?;
        let full = due.len() == usize::try_from(BATCH).unwrap_or_default();
        let (committing, mut others): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|due| due.status == GlobalStatus::Committing);
        let more = full || others.len() > OTHERS;
        others.truncate(OTHERS);
        let (committed, ()) = tokio::join!(self.commit_together(committing), self.advance_all(others));
        committed?;
        Ok(if more { Progress::More } else { Progress::Idle })
    }

    async fn advance_all(&self, dues: Vec<Due>) {
        stream::iter(dues)
            .for_each_concurrent(ABREAST, |due| async move {
                if let Err(error) = self.advance(&due, Reason::Timeout).await {
                    tracing::warn!(xid = due.xid, %error, "second phase failed");
                }
            })
            .await;
    }
}

/// Counts and logs a branch that is asked again later.
pub(super) fn put_off(xid: &str, resource: &str, error: &DtxError) {
    metrics::counter!("onceward_dtx_phase_two_retries_total").increment(1);
    tracing::warn!(xid, resource, %error, "second phase put off");
}
