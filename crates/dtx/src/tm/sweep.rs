//! Undo records that stayed although their transaction is over: a database may lose its last commits, a coordinator not.

use std::collections::HashSet;
use std::time::Duration;

use super::Dtx;
use crate::DtxError;
use crate::coordinator::rm::{Resource, UndoInfo, Undone};
use crate::tc::state::GlobalStatus;

/// What became of undo records that had stayed behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftBehind {
    /// Of committed transactions: removed.
    pub forgotten: usize,
    /// Of transactions that were rolled back: undone.
    pub undone: usize,
    /// The same, but their rows have changed since: parked.
    pub parked: usize,
    /// Of transactions that the coordinator does not know: left alone, whatever their age.
    pub unknown: usize,
    /// Of resources that did not answer.
    pub failed: usize,
}

impl Dtx {
    /// Ends undo records older than `older` whose transaction is over, as it ended. The worker does so every hour with those of
    /// ten minutes.
    ///
    /// # Errors
    /// If the coordinator fails. A resource that does not answer counts as one of [`LeftBehind::failed`].
    pub async fn settle_left_behind(&self, older: Duration) -> Result<LeftBehind, DtxError> {
        let mut found = LeftBehind::default();
        let mut bypassed = 0;
        for resource in self.0.rm.all() {
            let records = resource.undo_rows().await.unwrap_or_else(|error| {
                tracing::warn!(resource = resource.id(), %error, "whether anything stayed behind is not known");
                found.failed += 1;
                Vec::new()
            });
            match resource.bypassed().await {
                Ok(0) => {}
                Ok(writes) => {
                    bypassed += writes;
                    tracing::warn!(resource = resource.id(), writes, "writes past the row locks: see At::bypasses");
                }
                Err(error) => {
                    tracing::warn!(resource = resource.id(), %error, "writes past the row locks were not counted")
                }
            }
            // The youngest first: what one branch left, the next may have changed. One that stays keeps the earlier ones.
            let mut waiting = HashSet::new();
            for record in records {
                if record.age < older || waiting.contains(&record.xid) {
                    waiting.insert(record.xid);
                    continue;
                }
                let status = self.0.coordinator.status(&record.xid).await?;
                let count = match settle(&*resource, &record, status).await {
                    Ok(Some(End::Forgotten)) => &mut found.forgotten,
                    Ok(Some(End::Undone)) => &mut found.undone,
                    Ok(Some(End::Parked)) => &mut found.parked,
                    Ok(Some(End::Unknown)) => &mut found.unknown,
                    // Its second phase is still to come.
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::warn!(xid = record.xid, resource = record.resource_id, %error, "left behind, and stays");
                        waiting.insert(record.xid);
                        &mut found.failed
                    }
                };
                *count += 1;
            }
        }
        metrics::gauge!("onceward_dtx_bypasses").set(u32::try_from(bypassed).unwrap_or(u32::MAX));
        metrics::gauge!("onceward_dtx_undo_unknown").set(u32::try_from(found.unknown).unwrap_or(u32::MAX));
        if found != LeftBehind::default() {
            tracing::warn!(?found, "undo records had stayed behind");
        }
        Ok(found)
    }
}

enum End {
    Forgotten,
    Undone,
    Parked,
    Unknown,
}

async fn settle(
    resource: &dyn Resource,
    record: &UndoInfo,
    status: Option<GlobalStatus>,
) -> Result<Option<End>, DtxError> {
    Ok(match status {
        None => Some(End::Unknown),
        Some(GlobalStatus::Active | GlobalStatus::Committing | GlobalStatus::RollingBack) => None,
        Some(GlobalStatus::Committed) => {
            resource.commit(&record.xid, record.branch_id).await?;
            Some(End::Forgotten)
        }
        Some(GlobalStatus::RolledBack | GlobalStatus::Parked) => {
            Some(match resource.rollback(&record.xid, record.branch_id).await? {
                Undone::Done => End::Undone,
                Undone::Parked => End::Parked,
            })
        }
    })
}
