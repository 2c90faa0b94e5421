//! Global transactions: begin, run, decide.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceward_backend::internal::mark;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Instrument;

use crate::DtxError;
use crate::context::{self, Global};
use crate::coordinator::repair::{ParkedBranch, Repair, Repaired};
use crate::coordinator::rm::{ParkedInfo, Rm, UndoInfo};
use crate::coordinator::{Coordinator, LockInfo, Recovered, TransactionInfo, WaiterInfo};
use crate::tc::state::{GlobalStatus, Reason};

mod sweep;
mod work;

pub use sweep::LeftBehind;
use work::Open;

/// Runs global transactions and owns the resources of this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Dtx(Arc<Inner>);

struct Inner {
    coordinator: Arc<dyn Coordinator>,
    rm: Rm,
    options: DtxOptions,
    dropped: Mutex<Vec<String>>,
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
}

impl Default for DtxOptions {
    /// Guards stay for 7 days.
    fn default() -> Self {
        Self { guard_retention: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

impl DtxOptions {
    /// Sets how long a guard stays.
    #[must_use]
    pub const fn with_guard_retention(mut self, retention: Duration) -> Self {
        self.guard_retention = retention;
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

    /// Runs `work` in a global transaction: if it answers `Ok`, all its branches take effect, else none.
    ///
    /// Inside an open global transaction of the same task it joins that one, which then can only roll back if `work`
    /// fails. `work` runs once; run the whole again yourself if [`DtxError::is_retryable`] says so.
    ///
    /// # Errors
    /// The error of `work`, when everything is undone. An error of this crate if the outcome is another:
    /// [`DtxError::RollbackInProgress`], [`DtxError::Parked`], [`DtxError::RolledBack`], [`DtxError::OutcomeUnknown`].
    ///
    /// # Cancel safety
    /// A dropped future, or a panic in `work`, leaves the transaction to [`Dtx::work`], which rolls it back. Dropped before
    /// `work` began, it may stay open without a branch until its deadline.
    ///
    /// # Examples
    /// The README shows a whole one.
    pub async fn run<T, E, F>(&self, options: Options, work: impl FnOnce(Global) -> F) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        if let Some(outer) = context::current() {
            let mut failure = NestedFailure(Some(outer.clone()));
            let answer = work(outer).await;
            if answer.is_ok() {
                failure.0 = None;
            }
            return answer;
        }
        let deadline = Instant::now() + options.timeout;
        let xid = self.0.coordinator.begin(&options.name, options.timeout).await?;
        let open = Open::new(self, xid.clone());
        let global = Global::new(xid, options.name, deadline);
        let span = tracing::info_span!("onceward.dtx.run", name = global.name(), xid = global.xid());
        match context::scope(global.clone(), work(global.clone())).instrument(span).await {
            Ok(value) => {
                self.finish(&global, open).await?;
                Ok(value)
            }
            Err(error) => {
                let status = self.roll_back(&global, open, Reason::Failed).await?;
                match status {
                    GlobalStatus::RolledBack => Err(error),
                    other => Err(self.unfinished(&global, other).into()),
                }
            }
        }
    }

    /// Commits, unless something says that it must not.
    async fn finish(&self, global: &Global, open: Open<'_>) -> Result<(), DtxError> {
        let verdict = match (global.in_doubt(), global.nested_failed()) {
            (true, _) => Some(Reason::Doubt),
            (_, true) => Some(Reason::Nested),
            _ => None,
        };
        if let Some(reason) = verdict {
            return match self.roll_back(global, open, reason).await? {
                GlobalStatus::RolledBack => Err(DtxError::RolledBack { xid: global.xid().to_owned(), reason }),
                other => Err(self.unfinished(global, other)),
            };
        }
        mark("dtx.before_decision");
        let status = match self.0.coordinator.commit(global.xid()).await {
            Ok(status) => status,
            Err(error) => {
                // `open` is handed to the worker: if the decision was not stored, it becomes a rollback.
                tracing::warn!(xid = global.xid(), %error, "the commit decision was not answered");
                return Err(DtxError::OutcomeUnknown { xid: global.xid().to_owned() });
            }
        };
        if matches!(status, GlobalStatus::Committing | GlobalStatus::Committed) {
            open.decided();
            return Ok(());
        }
        // Decided before us, by the deadline as a rule. The answer waits for the undo like any other rollback's.
        match self.roll_back(global, open, Reason::Timeout).await? {
            GlobalStatus::RolledBack => {
                let reason = self.0.coordinator.reason(global.xid()).await.ok().flatten().unwrap_or(Reason::Timeout);
                Err(DtxError::RolledBack { xid: global.xid().to_owned(), reason })
            }
            other => Err(self.unfinished(global, other)),
        }
    }

    async fn roll_back(&self, global: &Global, open: Open<'_>, reason: Reason) -> Result<GlobalStatus, DtxError> {
        let answer = self.0.coordinator.rollback(global.xid(), reason).await;
        match answer {
            Ok(status) => {
                open.decided();
                Ok(status)
            }
            Err(error) => {
                tracing::warn!(xid = global.xid(), %error, "the rollback was not answered");
                Err(DtxError::RollbackInProgress { xid: global.xid().to_owned() })
            }
        }
    }

    fn unfinished(&self, global: &Global, status: GlobalStatus) -> DtxError {
        let xid = global.xid().to_owned();
        match status {
            GlobalStatus::Parked => DtxError::Parked { xid },
            GlobalStatus::RollingBack | GlobalStatus::RolledBack => DtxError::RollbackInProgress { xid },
            _ => DtxError::OutcomeUnknown { xid },
        }
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

    /// Transactions that are not over, and parked ones.
    ///
    /// # Errors
    /// If the coordinator fails.
    pub async fn transactions(&self) -> Result<Vec<TransactionInfo>, DtxError> {
        self.0.coordinator.transactions().await
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

/// Dropped or failed half way, a joined transaction dooms the one that it joined.
struct NestedFailure(Option<Global>);

impl Drop for NestedFailure {
    fn drop(&mut self) {
        if let Some(global) = self.0.take() {
            global.fail_nested();
        }
    }
}
