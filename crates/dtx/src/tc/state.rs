//! The states of a global transaction and of its branches, as plain functions over plain data.

use std::fmt;

pub mod seata;

/// Where a global transaction stands. The codes are what is stored and what the Seata protocol calls these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GlobalStatus {
    /// Open: branches may register, nothing is decided.
    Active,
    /// The decision is rollback; branches are being undone.
    RollingBack,
    /// The decision is commit; undo records are being removed.
    Committing,
    /// Over: everything took effect.
    Committed,
    /// Over: nothing took effect.
    RolledBack,
    /// Rolled back as far as possible; at least one branch waits for a person.
    Parked,
}

impl GlobalStatus {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::RollingBack, Self::Committing, Self::Committed, Self::RolledBack, Self::Parked];

    /// The stored number.
    pub const fn code(self) -> i64 {
        match self {
            Self::Active => 1,
            Self::RollingBack => 4,
            Self::Committing => 8,
            Self::Committed => 9,
            Self::RolledBack => 11,
            Self::Parked => 12,
        }
    }

    /// The state of a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// A short stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::RollingBack => "rolling back",
            Self::Committing => "committing",
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
            Self::Parked => "parked",
        }
    }

    /// True once nothing more happens by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Committed | Self::RolledBack | Self::Parked)
    }
}

impl fmt::Display for GlobalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a global transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its closure answered an error.
    Failed,
    /// Its deadline passed.
    Timeout,
    /// Its future was dropped, or its closure panicked.
    Dropped,
    /// Its process died before the decision.
    Recovered,
    /// A nested transaction that had joined it failed.
    Nested,
    /// The outcome of a branch's local commit is not known.
    Doubt,
    /// A person decided so.
    Operator,
}

impl Reason {
    const ALL: [Self; 7] =
        [Self::Failed, Self::Timeout, Self::Dropped, Self::Recovered, Self::Nested, Self::Doubt, Self::Operator];

    /// The stored number.
    pub const fn code(self) -> i64 {
        match self {
            Self::Failed => 1,
            Self::Timeout => 2,
            Self::Dropped => 3,
            Self::Recovered => 4,
            Self::Nested => 5,
            Self::Doubt => 6,
            Self::Operator => 7,
        }
    }

    /// A short stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Dropped => "dropped",
            Self::Recovered => "recovered",
            Self::Nested => "nested",
            Self::Doubt => "doubt",
            Self::Operator => "operator",
        }
    }

    /// The reason of a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "it failed",
            Self::Timeout => "its deadline passed",
            Self::Dropped => "it was dropped or panicked",
            Self::Recovered => "its process ended before the decision",
            Self::Nested => "a nested transaction failed",
            Self::Doubt => "the local commit of a branch is in doubt",
            Self::Operator => "an operator decided so",
        })
    }
}

/// Where a branch stands at the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BranchStatus {
    /// Registered; it may or may not have committed locally.
    Registered,
    /// Its second phase is done, or its first phase failed, or it was parked and is repaired.
    Done,
    /// It could not be undone and waits for a person.
    Parked,
}

impl BranchStatus {
    const ALL: [Self; 3] = [Self::Registered, Self::Done, Self::Parked];

    /// The status after an answer of its resource. What is done stays done.
    pub const fn after(self, answer: Self) -> Self {
        match (self, answer) {
            (Self::Registered, answer) => answer,
            (Self::Parked, Self::Done) => Self::Done,
            (stays, _) => stays,
        }
    }

    /// A short stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Done => "done",
            Self::Parked => "parked",
        }
    }

    /// The stored number.
    pub const fn code(self) -> i64 {
        match self {
            Self::Registered => 1,
            Self::Done => 2,
            Self::Parked => 3,
        }
    }

    /// The status of a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// What is asked of an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let everything take effect.
    Commit,
    /// Undo everything.
    Rollback(Reason),
}

/// Whether a transaction takes branches: only while nothing is decided and its time is not over.
pub const fn admits(status: GlobalStatus, in_time: bool) -> bool {
    in_time && matches!(status, GlobalStatus::Active)
}

/// Whether a transaction is rolled back because nobody decided it in time. A commit that comes first still counts.
pub const fn is_overdue(status: GlobalStatus, in_time: bool) -> bool {
    !in_time && matches!(status, GlobalStatus::Active)
}

/// The state after a decision arrives. Only an open transaction moves: the first decision stands, whoever comes later
/// reads it.
pub const fn decided(status: GlobalStatus, decision: Decision, has_branches: bool) -> GlobalStatus {
    match (status, decision, has_branches) {
        (GlobalStatus::Active, Decision::Commit, true) => GlobalStatus::Committing,
        (GlobalStatus::Active, Decision::Commit, false) => GlobalStatus::Committed,
        (GlobalStatus::Active, Decision::Rollback(_), true) => GlobalStatus::RollingBack,
        (GlobalStatus::Active, Decision::Rollback(_), false) => GlobalStatus::RolledBack,
        (other, _, _) => other,
    }
}

/// The state after branches were settled: over as soon as none is open, and no longer parked once the last parked one is
/// repaired.
pub fn settled(status: GlobalStatus, branches: &[BranchStatus]) -> GlobalStatus {
    let open = branches.contains(&BranchStatus::Registered);
    match status {
        GlobalStatus::Committing if !open => GlobalStatus::Committed,
        GlobalStatus::RollingBack if !open && branches.contains(&BranchStatus::Parked) => GlobalStatus::Parked,
        GlobalStatus::RollingBack if !open => GlobalStatus::RolledBack,
        GlobalStatus::Parked if !open && !branches.contains(&BranchStatus::Parked) => GlobalStatus::RolledBack,
        other => other,
    }
}

#[cfg(test)]
mod tests;
