//! The second phase, driven by the caller, by the worker and after a restart.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use onceward_backend::internal::{mark, random_unit};

use super::Tc;
use super::silence::{CALL, SOON};
use super::state::{BranchStatus, Decision, GlobalStatus, Reason};
use super::store::Due;
use crate::DtxError;
use crate::coordinator::rm::{Resource, Undone};
use crate::coordinator::{BranchInfo, Recovered};

/// Transactions that are driven side by side.
pub(super) const ABREAST: usize = 8;

impl Tc {
    /// Asks every open branch of a decided transaction for its second phase and notes the answers. Safe to run twice at
    /// the same time: every step of it is repeatable. A busy resource is waited for `patience`.
    pub(super) async fn drive(
        &self,
        xid: &str,
        status: GlobalStatus,
        tries: u32,
        patience: Duration,
    ) -> Result<GlobalStatus, DtxError> {
        let mut branches = self.0.store.branches(xid).await?;
        branches.retain(|branch| branch.status == BranchStatus::Registered);
        if status == GlobalStatus::RollingBack {
            branches.reverse();
        }
        let mut ends = Vec::new();
        // A branch that cannot be undone yet keeps the earlier ones of its resource waiting: their rows may be the same.
        let mut waiting = HashSet::new();
        branches.retain(|branch| !self.is_elsewhere(&branch.resource_id));
        for (at, branch) in branches.iter().enumerate() {
            if at > 0 {
                mark("dtx.phase_two");
            }
            if waiting.contains(&branch.resource_id) {
                continue;
            }
            match self.second_phase(xid, status, branch, patience).await {
                Ok(end) => ends.push((branch.branch_id, end)),
                Err(error) => {
                    waiting.insert(branch.resource_id.clone());
                    put_off(xid, &branch.resource_id, &error);
                }
            }
        }
        let is_given_up = self.0.options.max_tries.is_some_and(|most| tries.saturating_add(1) >= most);
        if status == GlobalStatus::RollingBack && is_given_up && !waiting.is_empty() {
            tracing::error!(xid, resources = ?waiting, "branches could not be taken back for so long that they are parked");
            let failed = branches.iter().filter(|branch| waiting.contains(&branch.resource_id));
            ends.extend(failed.map(|branch| (branch.branch_id, BranchStatus::Parked)));
        }
        mark("dtx.before_settle");
        self.settle(xid, status, tries, &ends, !waiting.is_empty()).await
    }

    /// Notes what became of branches, and when to ask again if that was not all: after a pause if some resource failed, at once
    /// if the rest is for the coordinators of other processes.
    pub(super) async fn settle(
        &self,
        xid: &str,
        status: GlobalStatus,
        tries: u32,
        ends: &[(i64, BranchStatus)],
        has_failed: bool,
    ) -> Result<GlobalStatus, DtxError> {
        let Some(decided) = self.0.store.settle(xid, ends).await? else { return Ok(status) };
        self.freed(&decided).await;
        let status = decided.standing.status;
        if !status.is_over() {
            let pause = || self.0.options.retry.delay(tries.saturating_add(1), random_unit());
            self.0.store.postpone(xid, if has_failed { pause() } else { Duration::ZERO }).await?;
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
        patience: Duration,
    ) -> Result<BranchStatus, DtxError> {
        let resource = self.resource(&branch.resource_id)?;
        let call = async {
            if status == GlobalStatus::Committing {
                resource.commit(xid, branch.branch_id).await?;
                return Ok(BranchStatus::Done);
            }
            Ok(match resource.rollback(xid, branch.branch_id).await? {
                Undone::Done => BranchStatus::Done,
                Undone::Parked => BranchStatus::Parked,
            })
        };
        self.0.silence.ask(&branch.resource_id, patience, call).await
    }

    /// Asks for a parked branch again. Of one that was repaired nothing remains, though the coordinator may not have heard so.
    pub(super) async fn ask_parked(&self, xid: &str, branch: &BranchInfo) -> Result<(), DtxError> {
        if branch.status == BranchStatus::Parked {
            let end = self.second_phase(xid, GlobalStatus::RollingBack, branch, CALL).await?;
            if let Some(decided) = self.0.store.settle(xid, &[(branch.branch_id, end)]).await? {
                self.freed(&decided).await;
            }
        }
        Ok(())
    }

    /// Asks for all parked branches again, and counts those that stay.
    pub(super) async fn ask_all_parked(&self) -> Result<(), DtxError> {
        let parked = self.0.store.parked().await?;
        let mut waiting = HashSet::new();
        for (xid, branch) in parked.iter().filter(|(_, branch)| !self.is_elsewhere(&branch.resource_id)) {
            // What was given up may still have to be undone, the last branch first.
            if waiting.contains(&(xid, &branch.resource_id)) {
                continue;
            }
            if let Err(error) = self.ask_parked(xid, branch).await {
                waiting.insert((xid, &branch.resource_id));
                tracing::warn!(xid, resource = branch.resource_id, %error, "a parked branch was not asked for");
            }
        }
        let parked = u32::try_from(self.0.store.parked().await?.len()).unwrap_or(u32::MAX);
        metrics::gauge!("onceward_dtx_parked_branches").set(parked);
        Ok(())
    }

    pub(super) fn resource(&self, id: &str) -> Result<Arc<dyn Resource>, DtxError> {
        self.rm().find(id)
    }

    /// Decides an open transaction for `reason` and drives it, or drives a decided one.
    pub(super) async fn advance(&self, due: &Due, reason: Reason) -> Result<GlobalStatus, DtxError> {
        if due.status != GlobalStatus::Active {
            return self.drive(&due.xid, due.status, due.tries, SOON).await;
        }
        let standing = self.decide(&due.xid, Decision::Rollback(reason), self.claim()).await?.standing;
        if standing.status.is_over() {
            return Ok(standing.status);
        }
        self.drive(&due.xid, standing.status, 0, SOON).await
    }

    /// Whatever is undecided is left behind where this process is alone; else only what belongs to one that is dead.
    pub(super) async fn recover_all(&self) -> Result<Recovered, DtxError> {
        self.beat().await?;
        let mut dues = self.0.store.unfinished().await?;
        if !self.0.options.is_alone {
            dues.retain(|due| due.status != GlobalStatus::Active);
            dues.extend(self.orphans().await?);
        }
        let (found, failed) = (Mutex::new(Recovered::default()), Mutex::new(None));
        stream::iter(dues)
            .for_each_concurrent(ABREAST, |due| {
                let (found, failed) = (&found, &failed);
                async move {
                    let answer = self.advance(&due, Reason::Recovered).await;
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(GlobalStatus::Committed) => found.committed += 1,
                        Ok(GlobalStatus::RolledBack) => found.rolled_back += 1,
                        Ok(GlobalStatus::Parked) => found.parked += 1,
                        Ok(_) => found.pending += 1,
                        Err(error) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                    }
                }
            })
            .await;
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        self.ask_all_parked().await?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(?found, "recovered");
        Ok(found)
    }
}

/// Counts and logs a branch that is asked again later.
pub(super) fn put_off(xid: &str, resource: &str, error: &DtxError) {
    metrics::counter!("onceward_dtx_phase_two_retries_total").increment(1);
    tracing::warn!(xid, resource, %error, "second phase put off");
}
