//! The rules that the model follows: the real ones, or all of them but one.

use crate::tc::state::{BranchStatus, Decision, GlobalStatus, Reason, admits, decided, is_overdue, settled};

/// A rule left out or turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The last decision stands.
    LastDecisionStands,
    /// A decision ends the transaction at once.
    EndsUnsettled,
    /// The first answer of a branch ends the transaction.
    EndsEarly,
    /// A branch that is done takes a later answer.
    TakesLateAnswers,
    /// A decided transaction takes branches.
    RegistersLate,
    /// Nobody minds the deadline.
    NoDeadline,
    /// The answer goes out before the decision is stored.
    TellsUnstored,
    /// A decision to roll back frees the locks.
    FreesAtRollback,
    /// The locks of a parked branch go with the others.
    FreesParked,
    /// Branches are undone in the order of their registration.
    UndoesForward,
    /// An earlier branch does not wait for an answer of the later.
    DoesNotWait,
    /// No guard bars a late first phase.
    NoGuard,
    /// A row that is as it was before is taken for undone, though a parked branch has changed it.
    TrustsUndone,
    /// A row that is as the branch left it is set back, though a parked branch has changed it.
    TrustsOurs,
    /// A row that somebody else has changed is set back all the same.
    OverwritesDirty,
    /// A local transaction commits before its branch is accepted.
    CommitsUnaccepted,
    /// The transaction manager commits although a local commit is in doubt.
    CommitsInDoubt,
    /// A branch starts after the commit was asked for.
    StartsLate,
    /// A branch that is parked is not asked for again.
    ForgetsParked,
    /// A first phase is said to have failed although its local commit may take effect.
    ReportsUncertain,
}

/// All rules, but for one that may be broken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules(pub(super) Option<Broken>);

impl Rules {
    pub(super) fn breaks(self, rule: Broken) -> bool {
        self.0 == Some(rule)
    }

    pub(super) fn decided(self, status: GlobalStatus, decision: Decision, has_branches: bool) -> GlobalStatus {
        match decision {
            _ if self.breaks(Broken::EndsUnsettled) => decided(status, decision, false),
            _ if self.breaks(Broken::LastDecisionStands) && !status.is_over() => {
                decided(GlobalStatus::Active, decision, has_branches)
            }
            _ => decided(status, decision, has_branches),
        }
    }

    pub(super) fn settled(self, status: GlobalStatus, branches: &[BranchStatus]) -> GlobalStatus {
        if self.breaks(Broken::EndsEarly) && branches.contains(&BranchStatus::Done) {
            let answered: Vec<_> = branches.iter().copied().filter(|&one| one != BranchStatus::Registered).collect();
            return settled(status, &answered);
        }
        settled(status, branches)
    }

    pub(super) fn after(self, status: BranchStatus, answer: BranchStatus) -> BranchStatus {
        if self.breaks(Broken::TakesLateAnswers) { answer } else { status.after(answer) }
    }

    pub(super) fn admits(self, status: GlobalStatus, in_time: bool) -> bool {
        admits(status, in_time) || self.breaks(Broken::RegistersLate)
    }

    /// What the coordinator decides by itself.
    pub(super) fn timeout(self, status: GlobalStatus, in_time: bool) -> Option<Decision> {
        (is_overdue(status, in_time) && !self.breaks(Broken::NoDeadline)).then_some(Decision::Rollback(Reason::Timeout))
    }
}
