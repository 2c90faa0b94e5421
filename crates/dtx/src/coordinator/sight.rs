//! What a coordinator shows to people.

use std::time::Duration;

use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, GlobalStatus, Reason};

/// Which transactions to show. What is not set lets all through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionFilter {
    /// Only the one of this xid.
    pub xid: Option<String>,
    /// Only those in one of these states.
    pub states: Vec<GlobalStatus>,
    /// Only those that began at least that long ago.
    pub older_than: Duration,
    /// Only those whose second phase was tried at least that often.
    pub tries: u32,
    /// Only that many, the oldest.
    pub limit: u32,
}

impl Default for TransactionFilter {
    /// Everything that is not over, and what is parked; at most 1,000.
    fn default() -> Self {
        let states = GlobalStatus::ALL
            .into_iter()
            .filter(|status| !status.is_over() || *status == GlobalStatus::Parked)
            .collect();
        Self { xid: None, states, older_than: Duration::ZERO, tries: 0, limit: 1_000 }
    }
}

impl TransactionFilter {
    /// The transaction of that xid, in whatever state. What is over is known for the coordinator's retention.
    pub fn of(xid: impl Into<String>) -> Self {
        Self { xid: Some(xid.into()), ..Self::default() }.in_states(GlobalStatus::ALL)
    }

    /// What somebody should look at, of what began at least `older_than` ago: parked transactions, and decided ones that still
    /// wait for a resource.
    pub fn stuck(older_than: Duration) -> Self {
        use GlobalStatus::{Committing, Parked, RollingBack};
        Self { older_than, ..Self::default().in_states([Committing, RollingBack, Parked]) }
    }

    /// Lets only these states through.
    #[must_use]
    pub fn in_states(mut self, states: impl IntoIterator<Item = GlobalStatus>) -> Self {
        self.states = states.into_iter().collect();
        self
    }

    /// Lets only those through that began at least that long ago.
    #[must_use]
    pub const fn with_older_than(mut self, older_than: Duration) -> Self {
        self.older_than = older_than;
        self
    }

    /// Lets only those through whose second phase was tried at least that often.
    #[must_use]
    pub const fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Lets only that many through.
    #[must_use]
    pub const fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A global transaction, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionInfo {
    /// Its xid.
    pub xid: String,
    /// The name from its options.
    pub name: String,
    /// Where it stands.
    pub status: GlobalStatus,
    /// Why it rolls back, if it does.
    pub reason: Option<Reason>,
    /// Since it began.
    pub age: Duration,
    /// How often its second phase was tried.
    pub tries: u32,
    /// Its branches in the order of registration. Those that are done may be gone once it is over.
    pub branches: Vec<BranchInfo>,
    /// The rows that it holds.
    pub locks: Vec<LockInfo>,
    /// The rows that it waits for, with who holds them.
    pub wants: Vec<(LockKey, Option<String>)>,
    /// Who waits for rows that it holds.
    pub waiters: Vec<String>,
}

/// A branch, for people and for the second phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BranchInfo {
    /// The branch.
    pub branch_id: i64,
    /// Its resource.
    pub resource_id: String,
    /// Where it stands.
    pub status: BranchStatus,
}

/// A transaction that waits for rows, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaiterInfo {
    /// The transaction.
    pub xid: String,
    /// All rows that it wants, the held ones with who holds them.
    pub wants: Vec<(LockKey, Option<String>)>,
}

/// A row lock, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The resource of the row.
    pub resource_id: String,
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: String,
    /// The owner.
    pub xid: String,
    /// Since it was taken.
    pub age: Duration,
    /// True if the owner is over and the lock stays for its parked branch.
    pub parked: bool,
}

impl LockInfo {
    pub(crate) fn is_of(&self, key: &LockKey) -> bool {
        (&self.resource_id, &self.table, &self.key) == (&key.resource_id, &key.table, &key.key)
    }
}
