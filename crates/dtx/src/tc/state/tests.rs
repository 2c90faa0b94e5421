use super::*;

mod model;

const DECISIONS: [Decision; 2] = [Decision::Commit, Decision::Rollback(Reason::Failed)];

/// Every combination of up to three branches.
fn branch_sets() -> Vec<Vec<BranchStatus>> {
    let mut sets = vec![vec![]];
    let mut last = sets.clone();
    for _ in 0..3 {
        last = last
            .iter()
            .flat_map(|set| {
                BranchStatus::ALL.map(|status| {
                    let mut set = set.clone();
                    set.push(status);
                    set
                })
            })
            .collect();
        sets.extend(last.clone());
    }
    sets
}

#[test]
fn codes_are_distinct_and_read_back() {
    for status in GlobalStatus::ALL {
        assert_eq!(GlobalStatus::from_code(status.code()), Some(status));
    }
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(reason));
    }
    for status in BranchStatus::ALL {
        assert_eq!(BranchStatus::from_code(status.code()), Some(status));
    }
    assert_eq!(GlobalStatus::from_code(99), None);
}

#[test]
fn the_first_decision_stands() {
    for has_branches in [false, true] {
        for first in DECISIONS {
            let once = decided(GlobalStatus::Active, first, has_branches);
            assert_ne!(once, GlobalStatus::Active);
            for second in DECISIONS {
                assert_eq!(decided(once, second, has_branches), once, "{first:?} then {second:?}");
            }
        }
    }
}

#[test]
fn no_state_ever_goes_back_or_changes_sides() {
    let commits = |status| matches!(status, GlobalStatus::Committing | GlobalStatus::Committed);
    for status in GlobalStatus::ALL {
        for branches in branch_sets() {
            let after = settled(status, &branches);
            let stays = |branch| matches!(branch, &BranchStatus::Parked | &BranchStatus::Registered);
            if status == GlobalStatus::Parked && !branches.iter().any(stays) {
                assert_eq!(after, GlobalStatus::RolledBack, "the last parked branch is repaired: {branches:?}");
            } else if status.is_over() || status == GlobalStatus::Active {
                assert_eq!(after, status, "{branches:?}");
            } else {
                assert_eq!(commits(status), commits(after), "{branches:?}");
            }
        }
    }
}

#[test]
fn it_ends_exactly_when_no_branch_is_open_and_parks_only_on_the_way_back() {
    for branches in branch_sets() {
        let open = branches.contains(&BranchStatus::Registered);
        let parked = branches.contains(&BranchStatus::Parked);
        assert_eq!(settled(GlobalStatus::Committing, &branches).is_over(), !open);
        let back = settled(GlobalStatus::RollingBack, &branches);
        assert_eq!(back.is_over(), !open);
        assert_eq!(back == GlobalStatus::Parked, !open && parked);
    }
}

#[test]
fn a_branch_that_is_done_stays_done() {
    use BranchStatus::{Done, Parked, Registered};
    for answer in BranchStatus::ALL {
        assert_eq!(Done.after(answer), Done);
        assert_eq!(Registered.after(answer), answer);
        assert_eq!(Parked.after(answer), if answer == Done { Done } else { Parked });
    }
    assert_eq!(Registered.after(Registered), Registered);
}
