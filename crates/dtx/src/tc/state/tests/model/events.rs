//! All that can happen next.

use super::coordinator::{asks, decide, register, settle};
use super::resource::{commit, commit_locally, restore, roll_back};
use super::rules::{Broken, Rules};
use super::world::{Phase, Record, Shape, World, each};
use crate::tc::state::{BranchStatus, Decision, GlobalStatus, Reason};

/// One step of a world. What gets lost, comes twice or comes late are no events of their own: a message that was sent may
/// be delivered in any later state, again, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Begin,
    /// The first phase: work, undo record, registration, local commit.
    Start(usize),
    WriteUndo(usize),
    AskToRegister(usize),
    Register {
        branch: usize,
        heard: bool,
    },
    SendLocalCommit(usize),
    CommitLocally {
        branch: usize,
        known: bool,
    },
    /// It rolls back and knows so.
    GiveUp(usize),
    /// Its process dies, or its connection; the database rolls back.
    Die(usize),
    PhaseOneFailed(usize),
    AskToCommit,
    Decide {
        commit: bool,
    },
    /// What a coordinator that stores too late would do.
    TellUnstored,
    DeadlinePasses,
    TimeOut,
    /// The coordinator dies and starts again. It may take what is open for left behind.
    Restart {
        rolls_back: bool,
    },
    Call(usize),
    SecondPhase {
        branch: usize,
        heard: bool,
        refused: bool,
    },
    Note(usize, BranchStatus),
    NoteNothing,
    /// A person ends a parked branch.
    Repair {
        branch: usize,
        restores: bool,
    },
    /// Somebody writes a row past the locks.
    Bypass(usize),
    /// Somebody writes a row whose lock is free.
    Write(usize),
}

/// Whether an event has to happen at last, for progress is promised on no other condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// The machinery runs, nothing more is lost, and every resource answers.
    Fair,
    /// A person sees to what is parked.
    Person,
    /// It may happen, and nothing may depend on it.
    Free,
}

/// The worlds after each event that is possible and changes anything.
pub(super) struct Steps<'a> {
    pub(super) world: World,
    pub(super) rules: Rules,
    pub(super) shape: &'a Shape,
    pub(super) found: Vec<(Event, Course, World)>,
}

impl Steps<'_> {
    pub(super) fn collect(&mut self, world: World) {
        self.world = world;
        self.found.clear();
        let Some(status) = world.status else {
            return self.add(Event::Begin, Course::Free, |next| next.status = Some(GlobalStatus::Active));
        };
        self.decisions(status);
        for branch in 0..self.shape.branches.len() {
            self.first_phase(branch);
            self.second_phase(branch);
        }
        self.add_noted(Event::NoteNothing, None, status);
        self.strangers();
    }

    fn add(&mut self, event: Event, course: Course, change: impl FnOnce(&mut World)) {
        let mut next = self.world;
        change(&mut next);
        next.normalise();
        if next != self.world {
            self.found.push((event, course, next));
        }
    }

    fn decisions(&mut self, status: GlobalStatus) {
        let (world, rules) = (self.world, self.rules);
        if !world.overdue && status == GlobalStatus::Active {
            self.add(Event::DeadlinePasses, Course::Fair, |next| next.overdue = true);
        }
        if let Some(decision) = rules.timeout(status, !world.overdue) {
            self.add(Event::TimeOut, Course::Fair, |next| decide(next, rules, decision));
        }
        for rolls_back in [false, true] {
            self.add(Event::Restart { rolls_back }, Course::Free, |next| {
                for branch in &mut next.branches {
                    (branch.heard_done, branch.heard_parked) = (false, false);
                }
                if rolls_back && status == GlobalStatus::Active {
                    decide(next, rules, Decision::Rollback(Reason::Recovered));
                }
            });
        }
        let certain = world.branches.iter().all(|branch| branch.phase.is_certain());
        if certain || rules.breaks(Broken::CommitsInDoubt) {
            self.add(Event::AskToCommit, Course::Free, |next| next.commit_sent = true);
        }
        for decision in [Decision::Commit, Decision::Rollback(Reason::Failed)] {
            let commit = decision == Decision::Commit;
            // A rollback may come at any time, from a caller that failed, was dropped, or lost the answer to its commit.
            if commit && status == GlobalStatus::Active && !world.commit_sent {
                continue;
            }
            self.add(Event::Decide { commit }, Course::Free, |next| decide(next, rules, decision));
        }
        if world.commit_sent && status == GlobalStatus::Active && rules.breaks(Broken::TellsUnstored) {
            self.add(Event::TellUnstored, Course::Free, |next| next.told_committed = true);
        }
    }

    fn first_phase(&mut self, branch: usize) {
        let (world, rules, shape) = (self.world, self.rules, self.shape);
        let own = world.branches[branch];
        let into = |phase| move |next: &mut World| next.branches[branch].phase = phase;
        match own.phase {
            Phase::Idle => {
                // Branches that do the same are one another's like: they start in one order.
                let alike = |other: usize| shape.rows(other) == shape.rows(branch);
                let first = (0..branch).all(|other| !alike(other) || world.branches[other].phase != Phase::Idle);
                let open = !world.commit_sent || rules.breaks(Broken::StartsLate);
                if first && open && world.busy(shape) & shape.rows(branch) == 0 {
                    let phase = Phase::Open { undo: false, asked: false, accepted: false };
                    self.add(Event::Start(branch), Course::Free, into(phase));
                }
            }
            Phase::Open { undo, asked, accepted } => {
                let barred = matches!(own.record, Record::Guard);
                if !undo {
                    let failed = Phase::Failed { asked };
                    let phase = if barred { failed } else { Phase::Open { undo: true, asked, accepted } };
                    self.add(Event::WriteUndo(branch), Course::Fair, into(phase));
                }
                if !asked {
                    let phase = Phase::Open { undo, asked: true, accepted };
                    self.add(Event::AskToRegister(branch), Course::Fair, into(phase));
                }
                if undo && (accepted || rules.breaks(Broken::CommitsUnaccepted)) {
                    self.add(Event::SendLocalCommit(branch), Course::Fair, into(Phase::Sent));
                }
                self.add(Event::GiveUp(branch), Course::Free, into(Phase::Failed { asked }));
                let gone = if asked { Phase::Lost } else { Phase::Failed { asked } };
                self.add(Event::Die(branch), Course::Free, into(gone));
            }
            Phase::Sent => {
                for known in [true, false] {
                    let event = Event::CommitLocally { branch, known };
                    self.add(event, Course::Fair, |next| commit_locally(next, shape, branch, known));
                }
                self.add(Event::Die(branch), Course::Free, into(Phase::Lost));
            }
            Phase::Failed { .. } | Phase::Lost | Phase::Committed { .. } => {}
        }
        if own.phase.may_register() {
            self.register(branch);
        }
        let uncertain = own.phase.is_writing() && rules.breaks(Broken::ReportsUncertain);
        if own.phase == (Phase::Failed { asked: true }) || uncertain {
            let end = Some((branch, BranchStatus::Done));
            self.add(Event::PhaseOneFailed(branch), Course::Free, |next| settle(next, rules, shape, end));
        }
    }

    fn register(&mut self, branch: usize) {
        let (rules, shape) = (self.rules, self.shape);
        self.add(Event::Register { branch, heard: false }, Course::Free, |next| {
            register(next, rules, shape, branch);
        });
        let Phase::Open { undo, asked, .. } = self.world.branches[branch].phase else { return };
        self.add(Event::Register { branch, heard: true }, Course::Fair, |next| {
            let accepted = register(next, rules, shape, branch);
            let open = Phase::Open { undo, asked, accepted };
            next.branches[branch].phase = if accepted { open } else { Phase::Failed { asked } };
        });
    }

    fn second_phase(&mut self, branch: usize) {
        let (world, rules, shape) = (self.world, self.rules, self.shape);
        let (own, Some(status)) = (world.branches[branch], world.status) else { return };
        let asked_now = asks(&world, rules, shape, branch);
        if asked_now {
            self.add(Event::Call(branch), Course::Fair, |next| next.branches[branch].called = true);
        }
        let may_refuse = shape.refusal && !world.refused && own.record == Record::Undo;
        for (heard, refused) in [(true, false), (false, false), (true, true), (false, true)] {
            if !own.called || (refused && !may_refuse) {
                continue;
            }
            let course = if asked_now && heard && !refused { Course::Fair } else { Course::Free };
            self.add(Event::SecondPhase { branch, heard, refused }, course, |next| {
                let answer = match status {
                    GlobalStatus::Committing | GlobalStatus::Committed => Some(commit(next, branch)),
                    _ => roll_back(next, rules, shape, branch, refused),
                };
                next.refused |= refused && next.branches[branch].record == Record::Parked;
                let own = &mut next.branches[branch];
                own.heard_done |= heard && answer == Some(BranchStatus::Done);
                own.heard_parked |= heard && answer == Some(BranchStatus::Parked);
            });
        }
        let heard = [(own.heard_done, BranchStatus::Done), (own.heard_parked, BranchStatus::Parked)];
        for (_, answer) in heard.into_iter().filter(|(heard, _)| *heard) {
            self.add_noted(Event::Note(branch, answer), Some((branch, answer)), status);
        }
        if own.record == Record::Parked {
            self.repairs(branch);
        }
    }

    fn add_noted(&mut self, event: Event, end: Option<(usize, BranchStatus)>, status: GlobalStatus) {
        let (rules, shape) = (self.rules, self.shape);
        if status != GlobalStatus::Active {
            self.add(event, Course::Fair, |next| settle(next, rules, shape, end));
        }
    }

    fn repairs(&mut self, branch: usize) {
        let shape = self.shape;
        self.add(Event::Repair { branch, restores: false }, Course::Person, |next| {
            next.branches[branch].record = Record::Repaired;
            next.kept = true;
        });
        let later = self.world.listed().skip_while(|listed| listed.branch != branch).skip(1).any(|other| {
            shape.resource(other.branch) == shape.resource(branch)
                && self.world.branches[other.branch].record == Record::Parked
        });
        if !later && self.world.busy(shape) & shape.rows(branch) == 0 {
            self.add(Event::Repair { branch, restores: true }, Course::Person, |next| restore(next, shape, branch));
        }
    }

    fn strangers(&mut self) {
        let (world, shape) = (self.world, self.shape);
        let free = !world.busy(shape);
        let all = shape.resources.iter().fold(0, |rows, resource| rows | resource);
        for row in each(all & free) {
            let writes = |next: &mut World| {
                next.rows[row] = 2;
                next.written |= 1 << row;
            };
            if shape.bypass && !world.bypassed {
                self.add(Event::Bypass(row), Course::Free, |next| {
                    writes(next);
                    next.bypassed = true;
                });
            }
            if shape.writer && world.written == 0 && world.locks >> row & 1 == 0 {
                self.add(Event::Write(row), Course::Free, writes);
            }
        }
    }
}

impl World {
    /// Somebody asks in every world, and hears where the transaction stands.
    fn tell(&mut self) {
        match self.status {
            Some(GlobalStatus::Committing | GlobalStatus::Committed) => self.told_committed = true,
            Some(GlobalStatus::RollingBack | GlobalStatus::RolledBack | GlobalStatus::Parked) => {
                self.told_rolled_back = true;
            }
            _ => {}
        }
    }

    /// Forgets what makes no difference any more, so that worlds with one future are one world.
    fn normalise(&mut self) {
        self.tell();
        let decided = self.status.is_some_and(|status| status != GlobalStatus::Active);
        if decided {
            // From here on requests only read.
            (self.overdue, self.commit_sent) = (false, false);
        }
        for at in 0..self.branches.len() {
            let status = self.status_of(at);
            let branch = &mut self.branches[at];
            if !matches!(branch.record, Record::Undo | Record::Parked) {
                branch.before = Default::default();
            }
            if let (true, Phase::Committed { known }) = (decided, &mut branch.phase) {
                *known = true;
            }
            // No note finds its place any more, and no call finds anything to do.
            branch.heard_done &= status.is_some_and(|status| status != BranchStatus::Done);
            branch.heard_parked &= status.is_some();
            let ended = matches!(branch.record, Record::Guard | Record::Undone | Record::Forgotten | Record::Repaired);
            branch.called &= status.is_some() || !ended;
        }
    }
}
