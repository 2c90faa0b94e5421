//! What must hold in every world, and over every step.

use super::events::Event;
use super::world::{Branch, Listed, Phase, Record, Shape, World};
use crate::tc::state::{BranchStatus, GlobalStatus};

const fn is_commit(status: GlobalStatus) -> bool {
    matches!(status, GlobalStatus::Committing | GlobalStatus::Committed)
}

/// How far a transaction or a branch is; nothing goes back.
const fn rank(status: GlobalStatus) -> u8 {
    match status {
        GlobalStatus::Active => 0,
        GlobalStatus::RollingBack | GlobalStatus::Committing => 1,
        GlobalStatus::Parked => 2,
        GlobalStatus::Committed | GlobalStatus::RolledBack => 3,
    }
}

const fn branch_rank(status: BranchStatus) -> u8 {
    match status {
        BranchStatus::Registered => 0,
        BranchStatus::Parked => 1,
        BranchStatus::Done => 2,
    }
}

/// How closely a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    All,
    /// Only at what users would notice: what they were told, their rows, and that it ends.
    Outcome,
}

/// What is wrong with a world.
pub(super) fn broken(world: &World, shape: &Shape, look: Look) -> Option<&'static str> {
    if world.told_committed && world.told_rolled_back {
        return Some("one heard committed, another rolled back");
    }
    let status = world.status?;
    let used = &world.branches[..shape.branches.len()];
    let any = |of: fn(Record) -> bool| used.iter().any(|branch| of(branch.record));
    if is_commit(status) {
        let undone = |record| !matches!(record, Record::None | Record::Undo | Record::Forgotten);
        if any(undone) {
            return Some("a branch was undone after the decision to commit");
        }
        let failed = |phase| matches!(phase, Phase::Sent | Phase::Lost | Phase::Open { .. });
        if world.listed().any(|listed| failed(world.branches[listed.branch].phase)) {
            return Some("committed without a branch that was accepted");
        }
    } else if any(|record| record == Record::Forgotten) {
        return Some("a branch is final without a decision to commit");
    }
    if !world.bypassed && !world.refused && any(|record| record == Record::Parked) {
        return Some("a branch was parked although everybody minded the locks");
    }
    let overwritten = |row: usize| world.written >> row & 1 == 1 && world.rows[row] & 2 == 0;
    if !world.restored && (0..world.rows.len()).any(overwritten) {
        return Some("the work of another was overwritten");
    }
    let locks = if look == Look::All { locks_broken(world, shape, status) } else { None };
    locks.or_else(|| end_broken(world, shape, status))
}

/// Locks are held from the registration on, and until the commit is decided, or their branch is undone, or repaired if it is
/// parked.
fn locks_broken(world: &World, shape: &Shape, status: GlobalStatus) -> Option<&'static str> {
    let of = |wanted: fn(BranchStatus) -> bool| {
        let listed = world.listed().filter(move |listed| wanted(listed.status));
        listed.fold(0, |rows, listed| rows | shape.rows(listed.branch))
    };
    let expected = match status {
        GlobalStatus::Active => of(|_| true),
        GlobalStatus::RollingBack => of(|status| status != BranchStatus::Done),
        GlobalStatus::Parked => of(|status| status == BranchStatus::Parked),
        GlobalStatus::Committing | GlobalStatus::Committed | GlobalStatus::RolledBack => 0,
    };
    let unprotected = |(at, branch): (usize, &Branch)| {
        let committed = matches!(branch.phase, Phase::Sent | Phase::Committed { .. });
        let undecided = matches!(status, GlobalStatus::Active | GlobalStatus::RollingBack);
        committed && undecided && world.status_of(at).is_none()
    };
    if expected & !world.locks != 0 {
        return Some("a lock was freed early");
    }
    // Of one whose first phase had failed before, they go with the first that is undone.
    let allowed = if status == GlobalStatus::RollingBack { of(|_| true) } else { expected };
    if world.locks & !allowed != 0 {
        return Some("a lock stays for nobody");
    }
    world.branches.iter().enumerate().any(unprotected).then_some("a branch committed locally without its locks")
}

/// Once it is over, nothing of it is left to do.
fn end_broken(world: &World, shape: &Shape, status: GlobalStatus) -> Option<&'static str> {
    if !matches!(status, GlobalStatus::Committed | GlobalStatus::RolledBack | GlobalStatus::Parked) {
        return None;
    }
    let used = &world.branches[..shape.branches.len()];
    if used.iter().any(|branch| branch.record == Record::Undo) {
        return Some("over, and an undo record is left");
    }
    match status {
        GlobalStatus::RolledBack if used.iter().any(|branch| branch.record == Record::Parked) => {
            Some("over, and a parked branch is left that nobody lists")
        }
        GlobalStatus::RolledBack if !world.kept && world.rows.iter().any(|row| row & 1 == 1) => {
            Some("rolled back, and a row is not what it was")
        }
        GlobalStatus::Parked => {
            let unlisted = |at: usize| {
                world.branches[at].record == Record::Parked && world.status_of(at) != Some(BranchStatus::Parked)
            };
            (0..used.len()).any(unlisted).then_some("a parked branch is not listed")
        }
        _ => None,
    }
}

/// What is wrong with a step.
pub(super) fn step_broken(before: &World, event: Event, after: &World, shape: &Shape) -> Option<&'static str> {
    if let (Some(from), Some(to)) = (before.status, after.status) {
        if rank(from) > 0 && is_commit(from) != is_commit(to) {
            return Some("the decision changed sides");
        }
        if rank(to) < rank(from) {
            return Some("the transaction went back");
        }
    }
    let back = |listed: Listed| {
        after.status_of(listed.branch).is_some_and(|now| branch_rank(now) < branch_rank(listed.status))
    };
    if before.listed != after.listed && before.listed().any(back) {
        return Some("a branch went back");
    }
    let record = |world: &World, branch: usize| world.branches[branch].record;
    match event {
        Event::CommitLocally { branch, .. } if record(before, branch) != Record::None => {
            Some("a first phase committed after its rollback")
        }
        Event::SecondPhase { branch, .. } if record(before, branch) != record(after, branch) => {
            let undone = record(after, branch) == Record::Undone;
            (undone && is_out_of_order(before, shape, branch)).then_some("branches were undone out of order")
        }
        _ => None,
    }
}

/// Whether one that came later on a row of this branch has still to be undone.
fn is_out_of_order(world: &World, shape: &Shape, branch: usize) -> bool {
    let later = world.listed().skip_while(|listed| listed.branch != branch).skip(1);
    let open = |other: usize| world.branches[other].record == Record::Undo;
    later.into_iter().any(|other| open(other.branch) && shape.rows(branch) & shape.rows(other.branch) != 0)
}

/// Whether nothing is left to do, but for a person.
pub(super) fn is_at_rest(world: &World) -> bool {
    let Some(status) = world.status else { return true };
    let quiet = world.branches.iter().all(|branch| !branch.phase.holds_rows() && branch.record != Record::Undo);
    // One that is repaired and still listed is not at rest: the coordinator has to hear of it.
    let heard = world.listed().all(|listed| world.branches[listed.branch].record == Record::Parked);
    status.is_over() && quiet && heard
}

/// Whether nothing is left at all.
pub(super) fn is_ended(world: &World) -> bool {
    let parked = world.branches.iter().any(|branch| branch.record == Record::Parked);
    is_at_rest(world) && world.status != Some(GlobalStatus::Parked) && !parked && world.locks == 0
}
