//! What a transaction manager and the resources of a process ask of a coordinator, wherever it lives.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::DtxError;
use crate::tc::lock::LockKey;
use crate::tc::state::{GlobalStatus, Reason};

pub(crate) mod repair;
pub mod rm;
mod sight;

use rm::Rm;
pub use sight::{BranchInfo, LockInfo, TransactionFilter, TransactionInfo, WaiterInfo};

/// A branch that asks to be part of a global transaction, with the locks it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBranch {
    /// The global transaction.
    pub xid: String,
    /// The branch, named by its client; the same name twice is the same branch.
    pub branch_id: i64,
    /// The resource that will be asked for the second phase.
    pub resource_id: String,
    /// All rows it changed.
    pub locks: Vec<LockKey>,
}

/// Decides global transactions and owns their row locks.
///
/// The contract: a decision is durable before it is answered, the first one stands, and a repeated call hears the same
/// answer for as long as the outcome is kept. A registration is a try: all locks or none, never a wait.
#[async_trait]
pub trait Coordinator: Debug + Send + Sync + 'static {
    /// Hands over the resources of this process, which the second phase of their branches is asked of. Called once.
    fn attach(&self, rm: Rm);

    /// The file that the coordinator keeps its state in, so that the same file is not used as a resource.
    fn home(&self) -> Option<String> {
        None
    }

    /// Opens a global transaction that is rolled back if it is not decided within `timeout`, and answers its xid.
    async fn begin(&self, name: &str, timeout: Duration) -> Result<String, DtxError>;

    /// Registers a branch and takes its locks.
    ///
    /// # Errors
    /// [`DtxError::LockConflict`] if any lock is held by another transaction, [`DtxError::Ended`] if the transaction is
    /// no longer open; in both cases nothing was registered.
    async fn register(&self, branch: &NewBranch) -> Result<(), DtxError>;

    /// Says that a branch that may have been registered was rolled back for certain.
    async fn phase_one_failed(&self, xid: &str, branch_id: i64) -> Result<(), DtxError>;

    /// Tries rows without taking them, for a transaction if there is one.
    ///
    /// # Errors
    /// [`DtxError::LockConflict`] if another transaction holds any.
    async fn check_locks(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<(), DtxError>;

    /// Takes rows for the transaction, without a branch, until its end: all or none, and never a wait.
    ///
    /// # Errors
    /// Those of [`register`](Self::register).
    async fn take_locks(&self, xid: &str, locks: &[LockKey]) -> Result<(), DtxError>;

    /// Waits until all these rows belong to the transaction, in the order of arrival; false if that took longer than
    /// `at_most`. True may also say no more than that it is worth a try: the registration that follows is the truth.
    ///
    /// # Errors
    /// [`DtxError::Deadlock`] if the transaction has to give way, [`DtxError::LockConflict`] if a row is held by a parked one,
    /// [`DtxError::Ended`] if it is no longer open.
    async fn wait_for_locks(&self, xid: &str, locks: &[LockKey], at_most: Duration) -> Result<bool, DtxError>;

    /// True if the transaction is open and all these rows are its own, so that nobody else gets them before its end.
    ///
    /// By itself it looks through [`locks`](Self::locks).
    async fn holds(&self, xid: &str, locks: &[LockKey]) -> Result<bool, DtxError> {
        if self.status(xid).await? != Some(GlobalStatus::Active) {
            return Ok(false);
        }
        let all = self.locks().await?;
        Ok(locks.iter().all(|key| all.iter().any(|lock| lock.xid == xid && lock.is_of(key))))
    }

    /// Decides commit and answers the state after: `Committing` and `Committed` say yes, any other that the transaction
    /// had been decided otherwise.
    async fn commit(&self, xid: &str) -> Result<GlobalStatus, DtxError>;

    /// Decides rollback and undoes the branches: `RolledBack` if all is undone, `RollingBack` if some resource did not
    /// answer yet.
    async fn rollback(&self, xid: &str, reason: Reason) -> Result<GlobalStatus, DtxError>;

    /// Says that a parked branch may have been repaired: its resource is asked again, and if nothing of it remains, the branch
    /// gives its locks up and the transaction ends with its last parked one. Answers the state after.
    async fn repaired(&self, xid: &str, branch_id: i64) -> Result<Option<GlobalStatus>, DtxError>;

    /// The state of a transaction; none if it never was or is forgotten.
    async fn status(&self, xid: &str) -> Result<Option<GlobalStatus>, DtxError>;

    /// Why a transaction was rolled back, while that is known.
    async fn reason(&self, xid: &str) -> Result<Option<Reason>, DtxError>;

    /// Rolls back what a dead process left undecided, then drives the second phase of all that is decided.
    async fn recover(&self) -> Result<Recovered, DtxError>;

    /// Works until `shutdown`: second phases, time-outs, forgetting.
    async fn run(&self, shutdown: CancellationToken);

    /// The transactions that a filter lets through, the oldest first.
    async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, DtxError>;

    /// All row locks.
    async fn locks(&self) -> Result<Vec<LockInfo>, DtxError>;

    /// Whoever waits for row locks, the first first.
    async fn waiters(&self) -> Result<Vec<WaiterInfo>, DtxError>;
}

/// What recovery found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Transactions whose rollback was completed.
    pub rolled_back: usize,
    /// Transactions whose commit was completed.
    pub committed: usize,
    /// Transactions that ended with parked branches.
    pub parked: usize,
    /// Decided transactions of which some resource did not answer; the worker goes on with them.
    pub pending: usize,
}
