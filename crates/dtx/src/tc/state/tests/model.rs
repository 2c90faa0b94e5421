//! Every way that one global transaction can go, looked through.
//!
//! A `world` is one global transaction with up to three branches on one or two databases: what the coordinator's store has,
//! what each process and each database has of a branch, the rows, and the messages under way. The `search` visits every world
//! that the `events` lead to, breadth first, and looks in each at the `invariants`; a finding comes with the shortest way to
//! it. What is decided, settled, noted and admitted say the real functions of `tc::state`; the steps around them are those of
//! the coordinator, of `At` and of `Dtx`, and the `replay` holds the model's store against the real ones, step by step.
//!
//! **Messages.** A request that was sent can be delivered in any later world, once more in any after that, or never; an
//! answer can be heard or lost. So loss, repetition, delay and reordering need no events of their own. A caller that lost an
//! answer does what it may do anyway: ask again, or roll back. In every world somebody asks for the state and is told.
//!
//! **Deaths.** The coordinator keeps nothing between two steps that its store does not have, but for answers of resources
//! that it has heard and not noted; a restart loses those. Between any two steps of a branch its process may die. A local
//! commit that was sent may take effect long after.
//!
//! **What must hold.** The decision never changes sides, nobody hears otherwise, and nothing goes back. A commit leaves out no
//! branch that was accepted, and nothing is undone after it. A rollback leaves nothing behind that is not parked and listed,
//! and every row as it was. A first phase never commits after its rollback. Locks are held from the registration until the
//! decision to commit, the end of the undo, or the repair, and not longer; while all mind them, no branch parks. Later branches
//! of a row are undone first. From every world, steps that take no more than that messages arrive and resources answer lead to
//! rest, and with a person who ends what is parked, to the end. The worlds being finitely many, a run that takes every step
//! that stays possible gets there.
//!
//! **That it can fail.** Each of the broken `rules` is found.
//!
//! **What is left out.** Other global transactions, except as a writer who minds the locks and one who does not, and with them
//! the queue for rows; the
//! forgetting of outcomes and guards after their retention; a database that loses commits it has confirmed, and the sweep that
//! mends this; back-off and all time but the deadline; held messages. Several coordinators on one store take the steps of
//! one.

mod coordinator;
mod events;
mod invariants;
mod replay;
mod resource;
mod rules;
mod search;
mod world;

use invariants::Look;
use rules::{Broken, Rules};
use search::{Finding, search};
use world::Shape;

/// Branches that nobody disturbs but deaths and lost messages.
const fn calm(branches: &'static [u8], resources: &'static [u8]) -> Shape {
    Shape { branches, resources, bypass: false, writer: false, refusal: false }
}

/// With a writer past the locks, one that minds them, and an undo that a constraint refuses.
const fn disturbed(branches: &'static [u8], resources: &'static [u8]) -> Shape {
    Shape { bypass: true, writer: true, refusal: true, ..calm(branches, resources) }
}

const ONE: Shape = disturbed(&[1], &[1]);
const TWO_ON_ONE_ROW: Shape = disturbed(&[1, 1], &[1]);
const THREE_ON_ONE_ROW: Shape = Shape { refusal: true, ..calm(&[1, 1, 1], &[1]) };

#[track_caller]
fn is_sound(shape: &Shape) {
    let size = search(shape, Rules(None), Look::All).unwrap_or_else(|finding| panic!("{finding:?}"));
    println!("{shape:?}: {size}");
    assert!(size.ends > 0, "some way ends");
}

#[test]
fn one_branch() {
    is_sound(&ONE);
}

#[test]
fn two_branches_on_one_row() {
    is_sound(&TWO_ON_ONE_ROW);
}

#[test]
fn two_branches_that_share_one_of_two_rows() {
    is_sound(&disturbed(&[1, 3], &[3]));
}

#[test]
fn two_branches_in_two_databases() {
    is_sound(&disturbed(&[1, 2], &[1, 2]));
}

/// When soaked, which takes minutes, the worlds of three branches are disturbed more.
fn soaked(shape: Shape, more: Shape) -> Shape {
    if testkit::scale() > 1 { more } else { shape }
}

#[test]
fn three_branches_on_one_row() {
    is_sound(&soaked(THREE_ON_ONE_ROW, disturbed(&[1, 1, 1], &[1])));
}

#[test]
fn three_branches_in_two_databases() {
    let shape = calm(&[1, 1, 2], &[1, 2]);
    is_sound(&soaked(shape, Shape { bypass: true, writer: true, ..shape }));
}

/// What the close look finds for each broken rule.
const FOUND: [(Broken, &str); 20] = [
    (Broken::LastDecisionStands, "the decision changed sides"),
    (Broken::EndsUnsettled, "over, and an undo record is left"),
    (Broken::EndsEarly, "over, and an undo record is left"),
    (Broken::TakesLateAnswers, "a branch went back"),
    (Broken::RegistersLate, "a lock stays for nobody"),
    (Broken::NoDeadline, "it never comes to rest"),
    (Broken::TellsUnstored, "one heard committed, another rolled back"),
    (Broken::FreesAtRollback, "a lock was freed early"),
    (Broken::FreesParked, "a lock was freed early"),
    (Broken::UndoesForward, "branches were undone out of order"),
    (Broken::DoesNotWait, "branches were undone out of order"),
    (Broken::NoGuard, "a first phase committed after its rollback"),
    (Broken::TrustsUndone, "rolled back, and a row is not what it was"),
    (Broken::TrustsOurs, "rolled back, and a row is not what it was"),
    (Broken::OverwritesDirty, "the work of another was overwritten"),
    (Broken::CommitsUnaccepted, "a branch committed locally without its locks"),
    (Broken::CommitsInDoubt, "committed without a branch that was accepted"),
    (Broken::StartsLate, "committed without a branch that was accepted"),
    (Broken::ForgetsParked, "it never comes to rest"),
    (Broken::ReportsUncertain, "over, and an undo record is left"),
];

fn found(rule: Broken, look: Look) -> Option<Box<Finding>> {
    let shapes: &[Shape] = if rule == Broken::TrustsOurs { &[THREE_ON_ONE_ROW] } else { &[ONE, TWO_ON_ONE_ROW] };
    shapes.iter().find_map(|shape| search(shape, Rules(Some(rule)), look).err())
}

#[test]
fn each_broken_rule_is_found() {
    for (rule, problem) in FOUND {
        let finding = found(rule, Look::All).unwrap_or_else(|| panic!("{rule:?} is not found"));
        println!("{rule:?}: {finding:?}");
        assert_eq!(finding.problem, problem, "{rule:?}");
    }
}

#[test]
fn most_broken_rules_harm_their_users() {
    // What a late answer makes of a branch is put right by asking again, and who writes over a parked row has a person to
    // settle it.
    let harmless = [Broken::TakesLateAnswers, Broken::FreesParked];
    for (rule, _) in FOUND.into_iter().filter(|(rule, _)| *rule != Broken::TrustsOurs) {
        let finding = found(rule, Look::Outcome);
        assert_eq!(finding.is_none(), harmless.contains(&rule), "{rule:?}: {finding:?}");
    }
}

#[test]
fn every_event_happens() {
    let size = search(&TWO_ON_ONE_ROW, Rules(None), Look::All).unwrap();
    // All but the one that only a broken rule allows.
    assert_eq!(size.kinds, 22);
}
