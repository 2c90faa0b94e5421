//! Global transactions: begin, run, decide.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceward_backend::internal::mark;
use tokio::sync::Notify;

use crate::DtxError;
use crate::coordinator::repair::{ParkedBranch, Repair, Repaired};
use crate::coordinator::rm::{ParkedInfo, Rm, UndoInfo};
use crate::coordinator::{Coordinator, LockInfo, Recovered, TransactionFilter, TransactionInfo, WaiterInfo};
use crate::tc::state::GlobalStatus;

mod hook;
mod join;
mod propagation;
mod run;
mod sweep;
mod transaction;
mod work;

pub use hook::TransactionHook;
pub use propagation::Propagation;
pub use run::Verdict;
pub use sweep::LeftBehind;
pub use transaction::GlobalTransaction;

#[cfg(feature = "layer")]
pub(crate) use join::Joined;
use work::Undecided;

/// Runs global transactions and owns the resources of this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Dtx(Arc<Inner>);

struct Inner {
    coordinator: Arc<dyn Coordinator>,
    rm: Rm,
    options: DtxOptions,
    dropped: Mutex<Vec<Undecided>>,
    wake: Notify,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.rm.clear();
    }
}

/// Settings of a [`Dtx`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DtxOptions {
    /// How long a guard against a late first phase stays. Far longer than any transaction may last.
    pub guard_retention: Duration,
    /// Who is told how the transactions of this process go, in this order.
    pub hooks: Vec<Arc<dyn TransactionHook>>,
}

impl Default for DtxOptions {
    /// Guards stay for 7 days, nobody is told.
    fn default() -> Self {
        Self { guard_retention: Duration::from_secs(7 * 24 * 60 * 60), hooks: Vec::new() }
    }
}

impl DtxOptions {
    /// Sets how long a guard stays.
    #[must_use]
    pub const fn with_guard_retention(mut self, retention: Duration) -> Self {
        self.guard_retention = retention;
        self
    }

    /// Adds somebody who is told how transactions go.
    #[must_use]
    pub fn with_hook(mut self, hook: Arc<dyn TransactionHook>) -> Self {
        self.hooks.push(hook);
        self
    }
}

/// Settings of one global transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// A name for people: what the transaction does.
    pub name: String,
    /// How long it may stay undecided.
    pub timeout: Duration,
}

impl Options {
    /// A transaction of that name that may stay undecided for 60 s.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), timeout: Duration::from_secs(60) }
    }

    /// Sets how long it may stay undecided.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl fmt::Debug for Dtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtx").field("coordinator", &self.0.coordinator).field("rm", &self.0.rm).finish_non_exhaustive()
    }
}

impl Dtx {
    /// A transaction manager that asks that coordinator.
    pub fn new(coordinator: Arc<dyn Coordinator>, options: DtxOptions) -> Self {
        let rm = Rm::default();
        coordinator.attach(rm.clone());
        Self(Arc::new(Inner { coordinator, rm, options, dropped: Mutex::default(), wake: Notify::new() }))
    }

    /// Rolls back what a dead process left undecided and drives the second phase of everything decided, then ends the undo
    /// records that stayed behind. Call it at start, after all resources are made and before the first [`Dtx::run`]: what is
    /// open then belongs to nobody.
    ///
    /// # Errors
    /// If the coordinator's store fails. A resource that does not answer is no error; see [`Recovered::pending`].
    pub async fn recover(&self) -> Result<Recovered, DtxError> {
        let recovered = self.0.coordinator.recover().await?;
        // Before outcomes are forgotten, which the worker begins with.
        self.settle_left_behind(Duration::ZERO).await?;
        Ok(recovered)
    }

    /// Where a global transaction stands; none if it never was or was over more than the retention ago.
    ///
    /// # Errors
    /// If the coordinator fails.
    pub async fn status(&self, xid: &str) -> Result<Option<GlobalStatus>, DtxError> {
        self.0.coordinator.status(xid).await
    }

    /// Fails if the coordinator cannot be asked now: for a readiness check.
    ///
    /// # Errors
    /// If the coordinator fails.
    pub async fn health(&self) -> Result<(), DtxError> {
        // Names nothing: any answer is a good one.
        self.0.coordinator.status("").await.map(drop)
    }

    /// The transactions that a filter lets through with their branches, locks and waiters, the oldest first. The default
    /// filter shows what is not over and what is parked, [`TransactionFilter::stuck`] what somebody should look at.
    ///
    /// # Errors
    /// If the coordinator fails.
    pub async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, DtxError> {
        self.0.coordinator.transactions(filter).await
    }

    /// All global row locks.
    ///
    /// # Errors
    /// If the coordinator fails.
    pub async fn locks(&self) -> Result<Vec<LockInfo>, DtxError> {
        self.0.coordinator.locks().await
    }

    /// Whoever waits for row locks, the first first.
    ///
    /// # Errors
    /// If the coordinator fails.
    pub async fn waiters(&self) -> Result<Vec<WaiterInfo>, DtxError> {
        self.0.coordinator.waiters().await
    }

    /// Undo records in the resources of this process, without guards and parked ones.
    ///
    /// # Errors
    /// If a resource fails.
    pub async fn undo_rows(&self) -> Result<Vec<UndoInfo>, DtxError> {
        let mut rows = Vec::new();
        for resource in self.0.rm.all() {
            rows.extend(resource.undo_rows().await?);
        }
        Ok(rows)
    }

    /// Branches in the resources of this process that wait for a person.
    ///
    /// # Errors
    /// If a resource fails.
    pub async fn parked(&self) -> Result<Vec<ParkedInfo>, DtxError> {
        let mut rows = Vec::new();
        for resource in self.0.rm.all() {
            rows.extend(resource.parked().await?);
        }
        Ok(rows)
    }

    /// A parked branch with its rows: before, after and now. None if it is not parked any more.
    ///
    /// # Errors
    /// If its resource fails, is not in this process, or has a row locked for long.
    pub async fn inspect(&self, parked: &ParkedInfo) -> Result<Option<ParkedBranch>, DtxError> {
        self.0.rm.find(&parked.resource_id)?.inspect(&parked.xid, parked.branch_id).await
    }

    /// Ends a parked branch as a person decided, on what [`inspect`](Self::inspect) showed. The rows, the end of the branch and
    /// a record of the repair in `dtx_repair` are one local transaction; then the coordinator frees the branch's locks and
    /// ends the global transaction with its last parked branch.
    ///
    /// If the process dies between the two, [`recover`](Self::recover) and [`work`](Self::work) finish it.
    ///
    /// # Errors
    /// [`DtxError::NotParked`] if somebody was faster; [`DtxError::RowsChanged`] if it is no longer what was shown;
    /// [`DtxError::Refused`] if a row cannot be restored; the error of a constraint that forbids it. Nothing was changed then.
    pub async fn repair(&self, repair: &Repair) -> Result<Repaired, DtxError> {
        let Repair { resource_id, xid, branch_id, action, .. } = repair;
        let answer = self.0.rm.find(resource_id)?.repair(repair).await;
        if repair.dry_run || !matches!(answer, Ok(_) | Err(DtxError::NotParked { .. })) {
            return answer;
        }
        mark("dtx.repaired");
        let status = self.0.coordinator.repaired(xid, *branch_id).await.unwrap_or_else(|error| {
            tracing::warn!(xid, branch = branch_id, %error, "the coordinator has not heard of a repair; its worker will");
            None
        });
        let mut repaired = answer?;
        repaired.status = status;
        metrics::counter!("onceward_dtx_repaired_total", "action" => action.as_str()).increment(1);
        tracing::warn!(xid, branch = branch_id, action = action.as_str(), who = repair.who, "parked branch repaired");
        Ok(repaired)
    }

    /// The coordinator, for whoever builds a resource of its own.
    pub fn coordinator(&self) -> &Arc<dyn Coordinator> {
        &self.0.coordinator
    }

    /// The resources of this process.
    pub fn resources(&self) -> &Rm {
        &self.0.rm
    }
}
