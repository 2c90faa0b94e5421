//! What a client that speaks the Seata protocol is told of our states, and what we make of its branches' answers.
//!
//! The protocol has a state for everything that a coordinator may be at; ours keeps few, and the rest in other places: the
//! reason of a rollback, the attempts of a second phase. So each state of theirs is a view, computed when it is asked for.

use super::{BranchStatus, GlobalStatus, Reason};

/// The states of a global transaction in the protocol; the discriminants travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum SeataStatus {
    /// Never shown: where the state cannot be read, the call fails.
    UnKnown = 0,
    /// Undecided, also past its deadline until the rollback is decided.
    Begin = 1,
    /// Never shown: no caller waits for the second phase of a commit, so it is always `AsyncCommitting`.
    Committing = 2,
    /// Committed, and a resource had to be asked more than once.
    CommitRetrying = 3,
    /// Being rolled back for another reason than its deadline.
    Rollbacking = 4,
    /// The same, and a resource had to be asked more than once.
    RollbackRetrying = 5,
    /// Being rolled back because its deadline passed.
    TimeoutRollbacking = 6,
    /// The same, and a resource had to be asked more than once.
    TimeoutRollbackRetrying = 7,
    /// Committed; undo records are being removed.
    AsyncCommitting = 8,
    /// Committed, and nothing is left to do.
    Committed = 9,
    /// Never shown: a decision to commit is carried out however often that has to be tried.
    CommitFailed = 10,
    /// Rolled back.
    Rollbacked = 11,
    /// Rolled back but for branches that wait for a person.
    RollbackFailed = 12,
    /// Rolled back because its deadline passed.
    TimeoutRollbacked = 13,
    /// The same, but for branches that wait for a person.
    TimeoutRollbackFailed = 14,
    /// Not known: it never was, or ended longer ago than outcomes are kept.
    Finished = 15,
    /// Never shown: attempts are not limited.
    CommitRetryTimeout = 16,
    /// Never shown: attempts are not limited.
    RollbackRetryTimeout = 17,
}

impl SeataStatus {
    /// The number that travels.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The answer to a question for the state: of a transaction that stands so, was rolled back for that reason, and whose
    /// second phase was put off so often. Also the answer to a rollback.
    pub const fn of(status: Option<GlobalStatus>, reason: Option<Reason>, tries: u32) -> Self {
        match (status, matches!(reason, Some(Reason::Timeout)), tries > 0) {
            (None, ..) => Self::Finished,
            (Some(GlobalStatus::Active), ..) => Self::Begin,
            (Some(GlobalStatus::Committing), _, false) => Self::AsyncCommitting,
            (Some(GlobalStatus::Committing), _, true) => Self::CommitRetrying,
            (Some(GlobalStatus::Committed), ..) => Self::Committed,
            (Some(GlobalStatus::RollingBack), false, false) => Self::Rollbacking,
            (Some(GlobalStatus::RollingBack), false, true) => Self::RollbackRetrying,
            (Some(GlobalStatus::RollingBack), true, false) => Self::TimeoutRollbacking,
            (Some(GlobalStatus::RollingBack), true, true) => Self::TimeoutRollbackRetrying,
            (Some(GlobalStatus::RolledBack), false, _) => Self::Rollbacked,
            (Some(GlobalStatus::RolledBack), true, _) => Self::TimeoutRollbacked,
            (Some(GlobalStatus::Parked), false, _) => Self::RollbackFailed,
            (Some(GlobalStatus::Parked), true, _) => Self::TimeoutRollbackFailed,
        }
    }

    /// The answer to a commit. Decided so, it is `Committed` at once. Decided otherwise, it is one of the states of a time-out
    /// whatever the reason was: these and `Finished` are the only ones that a Java client does not take for success.
    pub const fn of_commit(status: Option<GlobalStatus>, tries: u32) -> Self {
        match status {
            Some(GlobalStatus::Committing) => Self::Committed,
            _ => Self::of(status, Some(Reason::Timeout), tries),
        }
    }
}

/// What a branch's answer to its second phase comes to; none: ask it again.
///
/// The answers are those of the protocol: 5 committed, 8 rolled back, 10 cannot be rolled back ever. An answer that does not
/// fit the decision is not believed, and a commit is never given up, also if a branch says that it never will (7): it has
/// to, and undoing the others is no way out.
pub const fn second_phase_answer(decided: GlobalStatus, answer: u8) -> Option<BranchStatus> {
    match (decided, answer) {
        (GlobalStatus::Committing, 5) | (GlobalStatus::RollingBack | GlobalStatus::Parked, 8) => {
            Some(BranchStatus::Done)
        }
        (GlobalStatus::RollingBack | GlobalStatus::Parked, 10) => Some(BranchStatus::Parked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every standing, with none at its start.
    fn standings() -> impl Iterator<Item = Option<GlobalStatus>> {
        [None].into_iter().chain(GlobalStatus::ALL.map(Some))
    }

    #[test]
    fn every_standing_has_its_number() {
        let table = [
            (None, [15; 4]),
            (Some(GlobalStatus::Active), [1; 4]),
            (Some(GlobalStatus::Committing), [8, 3, 8, 3]),
            (Some(GlobalStatus::Committed), [9; 4]),
            (Some(GlobalStatus::RollingBack), [4, 5, 6, 7]),
            (Some(GlobalStatus::RolledBack), [11, 11, 13, 13]),
            (Some(GlobalStatus::Parked), [12, 12, 14, 14]),
        ];
        for (status, numbers) in table {
            let ways = [(Reason::Failed, 0), (Reason::Failed, 1), (Reason::Timeout, 0), (Reason::Timeout, 1)];
            let shown = ways.map(|(reason, tries)| SeataStatus::of(status, Some(reason), tries).code());
            assert_eq!(shown, numbers, "{status:?}");
        }
    }

    #[test]
    fn the_others_are_never_shown() {
        let mut shown = BTreeSet::new();
        for status in standings() {
            for reason in [None].into_iter().chain(Reason::ALL.map(Some)) {
                for tries in [0, 1, u32::MAX] {
                    shown.insert(SeataStatus::of(status, reason, tries).code());
                    shown.insert(SeataStatus::of_commit(status, tries).code());
                }
            }
        }
        let never: Vec<_> = (0..=17).filter(|code| !shown.contains(code)).collect();
        let expected = [
            SeataStatus::UnKnown,
            SeataStatus::Committing,
            SeataStatus::CommitFailed,
            SeataStatus::CommitRetryTimeout,
            SeataStatus::RollbackRetryTimeout,
        ];
        assert_eq!(never, expected.map(SeataStatus::code));
    }

    #[test]
    fn a_commit_that_was_decided_otherwise_is_not_taken_for_success() {
        for status in standings().filter(|&status| status != Some(GlobalStatus::Active)) {
            for tries in [0, 1] {
                let answer = SeataStatus::of_commit(status, tries).code();
                match status {
                    Some(GlobalStatus::Committing | GlobalStatus::Committed) => assert_eq!(answer, 9),
                    _ => assert!([6, 7, 13, 14, 15].contains(&answer), "{status:?}: {answer}"),
                }
            }
        }
    }

    #[test]
    fn the_stored_numbers_are_those_of_a_first_rollback_or_commit() {
        for status in GlobalStatus::ALL {
            assert_eq!(i64::from(SeataStatus::of(Some(status), Some(Reason::Failed), 0).code()), status.code());
        }
    }

    #[test]
    fn only_an_answer_that_fits_the_decision_ends_a_branch() {
        for answer in 0..=15 {
            let committing = (answer == 5).then_some(BranchStatus::Done);
            assert_eq!(second_phase_answer(GlobalStatus::Committing, answer), committing, "{answer}");
            let back = match answer {
                8 => Some(BranchStatus::Done),
                10 => Some(BranchStatus::Parked),
                _ => None,
            };
            for status in [GlobalStatus::RollingBack, GlobalStatus::Parked] {
                assert_eq!(second_phase_answer(status, answer), back, "{answer}");
            }
            for status in [GlobalStatus::Active, GlobalStatus::Committed, GlobalStatus::RolledBack] {
                assert_eq!(second_phase_answer(status, answer), None, "nothing is asked then");
            }
        }
    }
}
