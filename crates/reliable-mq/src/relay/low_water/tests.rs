use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn names(writers: &[&str]) -> Writers {
    writers.iter().map(|&writer| writer.to_owned()).collect()
}

fn read(water: &mut LowWater, last: i64) {
    let after = water.after();
    water.read(&Read { after, took: Duration::ZERO, last, cut: false, settled: true });
}

#[test]
fn it_rises_when_all_who_wrote_then_have_ended_and_a_read_came_after_that() {
    let mut water = LowWater::new();
    assert!(!water.wants_writers());
    read(&mut water, 10);
    assert!(water.wants_writers());
    water.look(&names(&["a", "b"]));
    water.look(&names(&["b", "c"]));
    read(&mut water, 20);
    assert_eq!(water.after(), 0, "b may still bring one below 10");
    water.look(&names(&["c"]));
    assert_eq!(water.after(), 0, "what b brought was not read yet");
    read(&mut water, 30);
    assert_eq!(water.after(), 10, "of what came later nothing is known yet");
    water.look(&names(&[]));
    read(&mut water, 0);
    assert_eq!(water.after(), 30);
    assert!(!water.wants_writers());
    water.fall();
    assert_eq!(water.after(), 0);
    assert!(water.wants_writers(), "and it rises again");
}

#[test]
fn a_read_that_was_cut_below_or_left_something_does_not_count() {
    for (cut, last, settled, expected) in
        [(true, 9, true, 0), (true, 10, true, 10), (false, 0, true, 10), (false, 10, false, 0)]
    {
        let mut water = LowWater::new();
        read(&mut water, 10);
        water.look(&names(&[]));
        water.read(&Read { after: 0, took: Duration::ZERO, last, cut, settled });
        assert_eq!(water.after(), expected, "{cut} {last} {settled}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_swept_in_bounds() {
    let mut water = LowWater::new();
    read(&mut water, 10);
    water.look(&names(&[]));
    read(&mut water, 0);
    for took in [Duration::ZERO, Duration::from_secs(1)] {
        assert_eq!(water.after(), 10);
        tokio::time::advance(SWEEP).await;
        assert_eq!(water.after(), 0);
        water.read(&Read { after: 0, took, last: 0, cut: false, settled: true });
    }
    tokio::time::advance(SWEEP).await;
    assert_eq!(water.after(), 10, "a sweep that takes a second is not for every half of one");
}

#[derive(Debug, Clone)]
enum Act {
    Insert(usize),
    End(usize, bool),
    Look,
    Read(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..4usize).prop_map(Act::Insert),
        2 => (0..4usize, any::<bool>()).prop_map(|(writer, commits)| Act::End(writer, commits)),
        2 => Just(Act::Look),
        3 => (1..4usize).prop_map(Act::Read),
    ];
    proptest::collection::vec(act, 0..200)
}

proptest! {
    /// Sequences are given at the insert and seen at the commit, reads are cut anywhere: nothing is ever seen at or below the
    /// low water, so nothing is passed over and the order of sequences is kept as far as commits keep it.
    #[test]
    fn nothing_appears_below_it(acts in acts()) {
        let mut water = LowWater::new();
        let (mut next, mut transactions) = (0, 0);
        let mut open: BTreeMap<usize, (String, Vec<i64>)> = BTreeMap::new();
        let mut seen: BTreeSet<i64> = BTreeSet::new();
        for act in acts {
            match act {
                Act::Insert(writer) => {
                    next += 1;
                    transactions += 1;
                    let transaction = open.entry(writer).or_insert_with(|| (transactions.to_string(), Vec::new()));
                    transaction.1.push(next);
                }
                Act::End(writer, commits) => {
                    let ended = open.remove(&writer);
                    seen.extend(ended.filter(|_| commits).into_iter().flat_map(|(_, rows)| rows));
                }
                Act::Look => water.look(&open.values().map(|(name, _)| name.clone()).collect()),
                Act::Read(most) => {
                    let after = water.after();
                    let came: Vec<i64> = seen.iter().copied().filter(|&row| row > after).take(most).collect();
                    came.iter().for_each(|row| { seen.remove(row); });
                    let last = came.last().copied().unwrap_or(0);
                    water.read(&Read { after, took: Duration::ZERO, last, cut: came.len() == most, settled: true });
                }
            }
            prop_assert!(seen.iter().all(|&row| row > water.after()), "{seen:?} {water:?}");
        }
    }
}
