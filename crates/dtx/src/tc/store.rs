//! What a coordinator keeps, as one method per atomic step.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::BackendError;

use super::lock::LockKey;
use super::state::{BranchStatus, Decision, GlobalStatus, Reason};
use super::turn::Answer;
use crate::coordinator::{BranchInfo, LockInfo, NewBranch, TransactionFilter, TransactionInfo, WaiterInfo};

pub mod memory;
#[cfg(feature = "sql")]
pub mod sql;

/// Where a coordinator keeps transactions, branches and locks.
///
/// Every method is atomic, and every change is conditional on the stored state, so that any number of callers, processes
/// and repetitions is correct. Time is the store's own. Write your own and run `conformance!(make)` on it.
#[async_trait]
pub trait TcStore: Debug + Send + Sync + 'static {
    /// The file the state lives in, if it is one.
    fn home(&self) -> Option<String> {
        None
    }

    /// Adds an open transaction; one that is there already is left as it is.
    async fn begin(&self, xid: &str, name: &str, timeout: Duration) -> Result<(), BackendError>;

    /// Adds a branch with all its locks, or nothing. Only an open transaction within its time takes branches; the same
    /// branch again is registered already; a lock of the same transaction is not a conflict. Of a transaction that holds no
    /// row yet, a row that somebody waits for is one.
    async fn register(&self, branch: &NewBranch) -> Result<Registration, BackendError>;

    /// Takes rows for a transaction without a branch, which become its own or do not as they would by
    /// [`register`](Self::register).
    async fn take(&self, xid: &str, locks: &[LockKey]) -> Result<Registration, BackendError>;

    /// True if several calls at once cost little more than one, so that it is worth gathering them: where each call by itself
    /// is a trip, or makes the disk write.
    fn gathers(&self) -> bool {
        false
    }

    /// [Begins](Self::begin) several transactions.
    async fn begin_all(&self, new: &[NewGlobal]) -> Result<(), BackendError> {
        for NewGlobal { xid, name, timeout } in new {
            self.begin(xid, name, *timeout).await?;
        }
        Ok(())
    }

    /// [Registers](Self::register) several branches, each by itself, and answers in the same order.
    async fn register_all(&self, branches: &[NewBranch]) -> Result<Vec<Registration>, BackendError> {
        let mut all = Vec::with_capacity(branches.len());
        for branch in branches {
            all.push(self.register(branch).await?);
        }
        Ok(all)
    }

    /// [Decides](Self::decide) to commit several transactions, whose second phase is due at once, and answers in the same order.
    async fn commit_all(&self, xids: &[&str]) -> Result<Vec<Option<Decided>>, BackendError> {
        let mut all = Vec::with_capacity(xids.len());
        for xid in xids {
            all.push(self.decide(xid, Decision::Commit, Duration::ZERO).await?);
        }
        Ok(all)
    }

    /// Moves an open transaction as [`decided`](super::state::decided) says and answers where it stands now; none if it is
    /// not known. A decision to commit frees the locks, and so does any that ends it. The second phase is due after `due`.
    async fn decide(&self, xid: &str, decision: Decision, due: Duration) -> Result<Option<Decided>, BackendError>;

    /// The branches in the order of their registration.
    async fn branches(&self, xid: &str) -> Result<Vec<BranchInfo>, BackendError>;

    /// Notes what became of branches, as [`BranchStatus::after`] says, and moves the transaction as
    /// [`settled`](super::state::settled) says. Once it is over, all branches and locks but the parked ones go.
    async fn settle(&self, xid: &str, ends: &[(i64, BranchStatus)]) -> Result<Option<Decided>, BackendError>;

    /// The branches of several transactions, in the order asked for.
    async fn branches_of(&self, xids: &[&str]) -> Result<Vec<Vec<BranchInfo>>, BackendError> {
        let mut all = Vec::with_capacity(xids.len());
        for xid in xids {
            all.push(self.branches(xid).await?);
        }
        Ok(all)
    }

    /// Ends transactions whose commit was decided and whose branches all are final now.
    async fn end_committed(&self, xids: &[&str]) -> Result<(), BackendError> {
        for xid in xids {
            end_one(self, xid).await?;
        }
        Ok(())
    }

    /// Puts a transaction into the queue for rows, behind everybody who is there, and [serves](Self::serve) the queue.
    async fn enqueue(&self, waiter: &NewWaiter) -> Result<Vec<(String, Answer)>, BackendError>;

    /// Answers whoever in the queue can be answered, as [`turn::serve`](super::turn::serve) says: rows that are granted become
    /// the transaction's own. Answers those of `owner`, who leave the queue with it; others read theirs by
    /// [`answers`](Self::answers).
    async fn serve(&self, owner: &str) -> Result<Vec<(String, Answer)>, BackendError>;

    /// The waiters of `owner` with what they were answered, who leave the queue with it, and without an answer those who wait.
    async fn answers(&self, owner: &str) -> Result<Vec<(String, Option<Answer>)>, BackendError>;

    /// Takes waiters out of the queue. What they were granted stays their transaction's.
    async fn leave(&self, waiters: &[&str]) -> Result<(), BackendError>;

    /// Whoever waits, the first first.
    async fn waiters(&self) -> Result<Vec<WaiterInfo>, BackendError>;

    /// All parked branches with their transactions, of each the last registered first.
    async fn parked(&self) -> Result<Vec<(String, BranchInfo)>, BackendError>;

    /// Puts the second phase off and counts the attempt.
    async fn postpone(&self, xid: &str, pause: Duration) -> Result<(), BackendError>;

    /// Transactions with something to do now: open past their deadline, or decided with a second phase due.
    async fn due(&self, shift: &Shift) -> Result<Vec<Due>, BackendError>;

    /// Says that a coordinator lives, for `lease` from now at least.
    async fn beat(&self, owner: &str, lease: Duration) -> Result<(), BackendError>;

    /// Open transactions of coordinators that did not say so: those whose xid does not begin with the name of one that did.
    async fn orphans(&self, limit: i64) -> Result<Vec<Due>, BackendError>;

    /// All transactions that are not over, the oldest first.
    async fn unfinished(&self) -> Result<Vec<Due>, BackendError>;

    /// The first of these rows that a transaction holds, another than `xid` if one is given.
    async fn held(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<Option<Conflict>, BackendError>;

    /// True if the transaction is open and all these rows are its own.
    async fn holds(&self, xid: &str, locks: &[LockKey]) -> Result<bool, BackendError> {
        if self.find(xid).await?.is_none_or(|standing| standing.status != GlobalStatus::Active) {
            return Ok(false);
        }
        let all = self.locks().await?;
        Ok(locks.iter().all(|key| all.iter().any(|lock| lock.xid == xid && lock.is_of(key))))
    }

    /// Where a transaction stands; none if it is not known.
    async fn find(&self, xid: &str) -> Result<Option<Standing>, BackendError>;

    /// The transactions that a filter lets through with their locks, the oldest first. Who waits is not said here.
    async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, BackendError>;

    /// How many transactions are not over or parked, by their states, and how old the oldest is.
    async fn tally(&self) -> Result<Vec<Tally>, BackendError>;

    /// All locks.
    async fn locks(&self) -> Result<Vec<LockInfo>, BackendError>;

    /// Forgets outcomes older than that and answers how many; and whatever a waiter was told whose transaction takes no more
    /// branches.
    async fn purge(&self, older: Duration) -> Result<u64, BackendError>;
}

async fn end_one<S: TcStore + ?Sized>(store: &S, xid: &str) -> Result<(), BackendError> {
    if store.find(xid).await?.is_none_or(|standing| standing.status != GlobalStatus::Committing) {
        return Ok(());
    }
    let branches = store.branches(xid).await?;
    let ends: Vec<_> = branches.iter().map(|branch| (branch.branch_id, BranchStatus::Done)).collect();
    store.settle(xid, &ends).await?;
    Ok(())
}

/// A transaction that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGlobal {
    /// Its xid.
    pub xid: String,
    /// The name from its options.
    pub name: String,
    /// How long it may stay undecided.
    pub timeout: Duration,
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The branch is part of the transaction and owns its rows.
    Registered,
    /// Another transaction holds this row.
    Conflict(Conflict),
    /// The transaction takes no branches; none: it is not known. An open one is past its deadline.
    Ended(Option<GlobalStatus>),
}

/// A row that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The row.
    pub lock: LockKey,
    /// Who holds it.
    pub holder: String,
    /// Where the holder stands.
    pub status: GlobalStatus,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub status: GlobalStatus,
    /// Why it was rolled back, if it was.
    pub reason: Option<Reason>,
}

/// Where a transaction stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The state.
    pub standing: Standing,
    /// True if the call freed a row that somebody waits for: the queue wants to be served.
    pub wanted: bool,
}

/// A transaction that wants rows, and has nothing open while it waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWaiter {
    /// The name of its place in the queue.
    pub waiter: String,
    /// The transaction.
    pub xid: String,
    /// The coordinator that asks, which hears the answer.
    pub owner: String,
    /// All rows that it wants.
    pub locks: Vec<LockKey>,
    /// How long it waits; it leaves by itself, or is passed over after that.
    pub patience: Duration,
}

/// Transactions of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The state.
    pub status: GlobalStatus,
    /// How many there are.
    pub count: u64,
    /// Since the oldest began.
    pub oldest: Duration,
}

/// What of all that is due a coordinator takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// At most that many transactions.
    pub limit: i64,
    /// Decided ones are not due again for that long, so that coordinators divide them.
    pub claim: Duration,
    /// What is due later than that is due now: the clock has gone back.
    pub longest: Duration,
    /// Only those decided ones of which a branch of one of these resources is open, or none at all; some more are harmless.
    /// None: of any resource.
    pub resources: Option<BTreeSet<String>>,
}

/// A transaction with something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The transaction.
    pub xid: String,
    /// Its state.
    pub status: GlobalStatus,
    /// How often its second phase was tried.
    pub tries: u32,
}
