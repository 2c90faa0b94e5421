//! The resource's side: what a call for the second phase does, as one local transaction.

use super::rules::{Broken, Rules};
use super::world::{Phase, ROWS, Record, Shape, World, each};
use crate::tc::state::BranchStatus;

/// Makes a branch final. A record that is not there was forgotten before.
pub(super) fn commit(world: &mut World, branch: usize) -> BranchStatus {
    if world.branches[branch].record == Record::Undo {
        world.branches[branch].record = Record::Forgotten;
    }
    BranchStatus::Done
}

/// Takes a branch back or puts it aside, unless a constraint refuses it; none if something that it has to wait for holds it up.
pub(super) fn roll_back(
    world: &mut World,
    rules: Rules,
    shape: &Shape,
    branch: usize,
    refused: bool,
) -> Option<BranchStatus> {
    match world.branches[branch].record {
        Record::Parked => return Some(BranchStatus::Parked),
        // The insert of the guard waits for that of the record.
        Record::None if world.branches[branch].phase.is_writing() => return None,
        Record::None => {
            let guard = if rules.breaks(Broken::NoGuard) { Record::Unguarded } else { Record::Guard };
            world.branches[branch].record = guard;
            return Some(BranchStatus::Done);
        }
        Record::Undo if world.busy(shape) & shape.rows(branch) != 0 => return None,
        Record::Undo => {}
        _ => return Some(BranchStatus::Done),
    }
    let undone = if refused { None } else { taken_back(world, rules, shape, branch) };
    let (record, answer) = match undone {
        Some(rows) => {
            world.rows = rows;
            (Record::Undone, BranchStatus::Done)
        }
        None => (Record::Parked, BranchStatus::Parked),
    };
    world.branches[branch].record = record;
    Some(answer)
}

/// The rows after the undo of a branch; none if one of them is not what the branch left, or may only look so: a parked branch
/// may have brought that value about, and may itself be taken back by a person.
fn taken_back(world: &World, rules: Rules, shape: &Shape, branch: usize) -> Option<[u8; ROWS]> {
    let beside = (0..shape.branches.len())
        .filter(|&other| world.branches[other].record == Record::Parked)
        .fold(0, |rows, other| rows | shape.rows(other));
    let mut rows = world.rows;
    for row in each(shape.rows(branch)) {
        let before = world.branches[branch].before[row];
        let beside = beside >> row & 1 == 1;
        match rows[row] {
            now if now == before ^ 1 => {
                if beside && !rules.breaks(Broken::TrustsOurs) {
                    return None;
                }
                rows[row] = before;
            }
            now if now == before => {
                if beside && !rules.breaks(Broken::TrustsUndone) {
                    return None;
                }
            }
            _ if rules.breaks(Broken::OverwritesDirty) => rows[row] = before,
            _ => return None,
        }
    }
    Some(rows)
}

/// The local commit takes effect, its undo record with it.
pub(super) fn commit_locally(world: &mut World, shape: &Shape, branch: usize, known: bool) {
    let own = &mut world.branches[branch];
    own.phase = Phase::Committed { known };
    own.record = Record::Undo;
    for row in each(shape.rows(branch)) {
        own.before[row] = world.rows[row];
        world.rows[row] ^= 1;
    }
}

/// A person puts back what a branch changed. What was changed first goes back last, so another may have to go before.
pub(super) fn restore(world: &mut World, shape: &Shape, branch: usize) {
    for row in each(shape.rows(branch)) {
        world.rows[row] = world.branches[branch].before[row];
    }
    world.branches[branch].record = Record::Repaired;
    world.restored = true;
}
