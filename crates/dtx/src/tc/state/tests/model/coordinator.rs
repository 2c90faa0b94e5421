//! The coordinator's side: each function is one transaction of its store.

use super::rules::{Broken, Rules};
use super::world::{Listed, Shape, World};
use crate::tc::state::{BranchStatus, Decision, GlobalStatus};

/// Registers a branch with its locks; false if the transaction takes none.
pub(super) fn register(world: &mut World, rules: Rules, shape: &Shape, branch: usize) -> bool {
    let Some(status) = world.status else { return false };
    if !rules.admits(status, !world.overdue) {
        return false;
    }
    if world.status_of(branch).is_some() {
        return true;
    }
    if let Some(free) = world.listed.iter_mut().find(|place| place.is_none()) {
        *free = Some(Listed { branch, status: BranchStatus::Registered });
        world.locks |= shape.rows(branch);
    }
    true
}

pub(super) fn decide(world: &mut World, rules: Rules, decision: Decision) {
    let Some(status) = world.status else { return };
    let after = rules.decided(status, decision, world.listed().next().is_some());
    if after == status {
        return;
    }
    world.status = Some(after);
    if decision == Decision::Commit || after.is_over() || rules.breaks(Broken::FreesAtRollback) {
        world.locks = 0;
    }
}

/// Notes what became of a branch, if anything did, and ends the transaction if that was the last.
pub(super) fn settle(world: &mut World, rules: Rules, shape: &Shape, end: Option<(usize, BranchStatus)>) {
    let Some(status) = world.status else { return };
    for listed in world.listed.iter_mut().flatten() {
        if let Some((_, answer)) = end.filter(|(branch, _)| *branch == listed.branch) {
            listed.status = rules.after(listed.status, answer);
        }
    }
    let statuses: Vec<_> = world.listed().map(|listed| listed.status).collect();
    let after = rules.settled(status, &statuses);
    world.status = Some(after);
    if !after.is_over() && after != GlobalStatus::RollingBack {
        return;
    }
    let is_left = |status| status == BranchStatus::Parked || status == BranchStatus::Registered && !after.is_over();
    let left = world.listed().filter(|listed| is_left(listed.status));
    let kept = left.fold(0, |rows, listed| rows | shape.rows(listed.branch));
    world.locks &= if after.is_over() && rules.breaks(Broken::FreesParked) { 0 } else { kept };
    if after.is_over() {
        world.listed = world.listed.map(|place| place.filter(|listed| listed.status == BranchStatus::Parked));
        world.listed.sort_by_key(Option::is_none);
    }
}

/// Whether a pass of the coordinator asks for this branch now: it is open and none that was registered later on its
/// resource is still to be undone; or it is parked, and may have been repaired.
pub(super) fn asks(world: &World, rules: Rules, shape: &Shape, branch: usize) -> bool {
    let (Some(status), Some(stands)) = (world.status, world.status_of(branch)) else { return false };
    if stands == BranchStatus::Parked {
        return !rules.breaks(Broken::ForgetsParked);
    }
    let answered = |other: usize| world.branches[other].heard_done || world.branches[other].heard_parked;
    let waits_for = |listed: &Listed| {
        let open = listed.status == BranchStatus::Registered && !answered(listed.branch);
        open && listed.branch != branch && shape.resource(listed.branch) == shape.resource(branch)
    };
    let mine = |listed: &Listed| listed.branch != branch;
    match status {
        _ if stands == BranchStatus::Done || answered(branch) => false,
        GlobalStatus::Committing => true,
        GlobalStatus::RollingBack if rules.breaks(Broken::UndoesForward) => {
            !world.listed().take_while(mine).any(|listed| waits_for(&listed))
        }
        GlobalStatus::RollingBack if rules.breaks(Broken::DoesNotWait) => true,
        GlobalStatus::RollingBack => !world.listed().rev().take_while(mine).any(|listed| waits_for(&listed)),
        _ => false,
    }
}
