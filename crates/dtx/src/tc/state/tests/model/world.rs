//! One global transaction and all that it touches, as a small value.

use crate::tc::state::{BranchStatus, GlobalStatus};

/// At most so many branches.
pub(super) const BRANCHES: usize = 3;
/// At most so many rows.
pub(super) const ROWS: usize = 2;

/// What does not change while a world runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The rows that each branch changes, as bits.
    pub(super) branches: &'static [u8],
    /// The rows that each resource keeps, as bits.
    pub(super) resources: &'static [u8],
    /// Whether one writer may go past the locks.
    pub(super) bypass: bool,
    /// Whether one writer comes by that minds the locks.
    pub(super) writer: bool,
    /// Whether a constraint may refuse one undo.
    pub(super) refusal: bool,
}

impl Shape {
    pub(super) fn rows(&self, branch: usize) -> u8 {
        self.branches[branch]
    }

    /// The rows of the resource that a branch works on.
    pub(super) fn resource(&self, branch: usize) -> u8 {
        let rows = self.branches[branch];
        self.resources.iter().copied().find(|resource| resource & rows != 0).unwrap_or_default()
    }
}

/// A branch as the coordinator has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Listed {
    pub(super) branch: usize,
    pub(super) status: BranchStatus,
}

/// The first phase of a branch, in the process that runs it and in its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Idle,
    /// Its local transaction is open and has its rows locked.
    Open {
        undo: bool,
        asked: bool,
        accepted: bool,
    },
    /// The local commit is sent, its outcome open.
    Sent,
    /// Committed locally; `known` if the process has heard so.
    Committed {
        known: bool,
    },
    /// Rolled back locally, and the process knows.
    Failed {
        asked: bool,
    },
    /// Nothing was committed, and nobody is left who knows.
    Lost,
}

impl Phase {
    pub(super) const fn holds_rows(self) -> bool {
        matches!(self, Self::Open { .. } | Self::Sent)
    }

    /// Whether its undo record is written and not committed.
    pub(super) const fn is_writing(self) -> bool {
        matches!(self, Self::Open { undo: true, .. } | Self::Sent)
    }

    /// Whether a request to register it is on its way, or may come again.
    pub(super) const fn may_register(self) -> bool {
        matches!(self, Self::Open { asked: true, .. } | Self::Failed { asked: true } | Self::Lost)
    }

    /// Whether the transaction manager may let the whole commit as far as this branch goes.
    pub(super) const fn is_certain(self) -> bool {
        matches!(self, Self::Idle | Self::Committed { known: true } | Self::Failed { .. })
    }
}

/// What the resource keeps of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Record {
    None,
    Undo,
    Guard,
    /// Only where the rule of the guard is broken: rolled back before it came, and nothing bars it.
    Unguarded,
    Parked,
    /// Undone and gone. Asked once more it gets a guard, which bars nothing.
    Undone,
    /// Final and gone.
    Forgotten,
    /// Ended by a person.
    Repaired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Branch {
    pub(super) phase: Phase,
    pub(super) record: Record,
    /// What its rows were before; part of the record.
    pub(super) before: [u8; ROWS],
    /// A call for its second phase was sent, and may arrive at any time from now on, any number of times.
    pub(super) called: bool,
    /// Answers that a pass of the coordinator holds in memory.
    pub(super) heard_done: bool,
    pub(super) heard_parked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Of the coordinator: what its store has.
    pub(super) status: Option<GlobalStatus>,
    pub(super) overdue: bool,
    pub(super) listed: [Option<Listed>; BRANCHES],
    pub(super) locks: u8,
    /// The transaction manager has asked for the commit, which may arrive at any time from now on.
    pub(super) commit_sent: bool,
    /// What anybody was ever told: both would be one too many.
    pub(super) told_committed: bool,
    pub(super) told_rolled_back: bool,
    pub(super) branches: [Branch; BRANCHES],
    /// Bit 0 is turned by each branch, bit 1 set by a stranger, who clears bit 0.
    pub(super) rows: [u8; ROWS],
    /// Rows that a stranger has written.
    pub(super) written: u8,
    pub(super) bypassed: bool,
    pub(super) refused: bool,
    /// A person has left a branch's rows as they were, or put them back over a stranger's.
    pub(super) kept: bool,
    pub(super) restored: bool,
}

impl World {
    pub(super) const START: Self = Self {
        status: None,
        overdue: false,
        listed: [None; BRANCHES],
        locks: 0,
        commit_sent: false,
        told_committed: false,
        told_rolled_back: false,
        branches: [Branch {
            phase: Phase::Idle,
            record: Record::None,
            before: [0; ROWS],
            called: false,
            heard_done: false,
            heard_parked: false,
        }; BRANCHES],
        rows: [0; ROWS],
        written: 0,
        bypassed: false,
        refused: false,
        kept: false,
        restored: false,
    };

    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = Listed> {
        self.listed.into_iter().flatten()
    }

    pub(super) fn status_of(&self, branch: usize) -> Option<BranchStatus> {
        // A plain loop, for this is asked more often than anything else.
        for listed in &self.listed {
            match listed {
                Some(listed) if listed.branch == branch => return Some(listed.status),
                Some(_) => {}
                None => break,
            }
        }
        None
    }

    /// Rows that an open local transaction has locked in the database.
    pub(super) fn busy(&self, shape: &Shape) -> u8 {
        let mut rows = 0;
        for (own, branch) in shape.branches.iter().zip(&self.branches) {
            if branch.phase.holds_rows() {
                rows |= own;
            }
        }
        rows
    }
}

/// The numbers of the rows in a set.
pub(super) fn each(rows: u8) -> impl Iterator<Item = usize> {
    (0..ROWS).filter(move |row| rows >> row & 1 == 1)
}
