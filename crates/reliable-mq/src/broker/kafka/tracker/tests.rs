use std::time::Duration;

use super::*;
use crate::message::{Message, MessageId};

const LEASE: Duration = Duration::from_secs(10);

fn partition(number: i32) -> Partition {
    ("t".into(), number)
}

fn at(offset: i64) -> Place {
    Place { partition: partition(0), offset }
}

fn record(offset: i64) -> Read {
    let id = MessageId::parse(offset.to_string()).unwrap();
    let envelope = Envelope::new(id, Message::to("t").text("").unwrap(), 0);
    Read { envelope, past: Past::default(), due: None }
}

/// One partition with records of these offsets.
fn tracker(offsets: impl IntoIterator<Item = i64>) -> Tracker {
    let mut tracker = Tracker::default();
    tracker.assign(partition(0));
    for offset in offsets {
        tracker.take_in(at(offset), record(offset), None);
    }
    tracker
}

fn offsets(leased: &[Leased]) -> Vec<i64> {
    leased.iter().map(|leased| leased.place.offset).collect()
}

#[test]
fn a_partition_is_done_up_to_the_oldest_that_is_not() {
    let mut tracker = tracker(5..8);
    let leased = tracker.lease(Instant::now() + LEASE, 10);
    assert_eq!(offsets(&leased), [5, 6, 7]);
    let done: Vec<i64> = [1, 2, 0].map(|n| tracker.done(&leased[n].place, leased[n].token).unwrap()).into();
    assert_eq!(done, [5, 5, 8]);
    // A gap in the offsets is no record that is missing.
    tracker.take_in(at(20), record(20), None);
    let leased = tracker.lease(Instant::now() + LEASE, 10);
    assert_eq!(tracker.done(&leased[0].place, leased[0].token).unwrap(), 21);
}

#[test]
fn a_lease_that_ends_is_anothers_and_the_old_one_changes_nothing() {
    let mut tracker = tracker([0]);
    let now = Instant::now();
    let first = tracker.lease(now + LEASE, 1).remove(0);
    tracker.tick(now + LEASE / 2);
    assert!(tracker.lease(now, 1).is_empty());
    tracker.tick(now + LEASE);
    assert!(matches!(tracker.done(&first.place, first.token), Err(Error::LeaseLost)), "nobody has it");
    let second = tracker.lease(now + LEASE * 2, 1).remove(0);
    assert_eq!((second.failures, second.deliveries), (0, 2));
    assert!(matches!(tracker.release(&first.place, first.token), Err(Error::LeaseLost)));
    assert!(tracker.holds(&second.place, second.token).is_ok());
    assert_eq!(tracker.done(&second.place, second.token).unwrap(), 1);
    assert!(matches!(tracker.done(&second.place, second.token), Err(Error::LeaseLost)), "once");
    tracker.tick(now + LEASE * 3);
    assert_eq!(tracker.counts(), (0, 0, 0), "its timer is gone with it");
}

#[test]
fn what_comes_again_comes_before_what_came_later() {
    let mut tracker = tracker(0..4);
    let leased = tracker.lease(Instant::now() + LEASE, 2);
    for leased in leased.iter().rev() {
        tracker.release(&leased.place, leased.token).unwrap();
    }
    assert_eq!(offsets(&tracker.lease(Instant::now() + LEASE, 10)), [0, 1, 2, 3]);
}

#[test]
fn a_retry_waits_for_its_time_and_holds_its_partition_back() {
    let mut tracker = tracker([]);
    let now = Instant::now();
    tracker.take_in(at(0), record(0), Some(now + LEASE));
    tracker.take_in(at(1), record(1), None);
    assert_eq!(tracker.counts(), (1, 1, 0));
    let leased = tracker.lease(now + LEASE * 5, 10);
    assert_eq!((offsets(&leased), tracker.done(&leased[0].place, leased[0].token).unwrap()), (vec![1], 0));
    tracker.tick(now + LEASE);
    assert_eq!((tracker.counts(), tracker.read_up_to(&partition(0))), ((1, 0, 0), Some(2)));
}

#[test]
fn a_partition_that_went_away_takes_everything_with_it_and_comes_back_fresh() {
    let mut tracker = tracker(0..3);
    let leased = tracker.lease(Instant::now() + LEASE, 1);
    tracker.assign(partition(1));
    tracker.revoke(&partition(0));
    assert_eq!((tracker.counts(), tracker.read_up_to(&partition(0))), ((0, 0, 0), None));
    tracker.take_in(at(0), record(0), None);
    assert_eq!(tracker.counts(), (0, 0, 0), "what was on its way is not taken in");
    tracker.assign(partition(0));
    tracker.take_in(at(0), record(0), None);
    let again = tracker.lease(Instant::now() + LEASE, 1);
    assert!(matches!(tracker.done(&leased[0].place, leased[0].token), Err(Error::LeaseLost)), "of another life");
    assert_eq!(tracker.done(&again[0].place, again[0].token).unwrap(), 1);
}

#[test]
fn a_log_that_is_read_again_is_not_delivered_beside_itself() {
    let mut tracker = tracker(0..2);
    let leased = tracker.lease(Instant::now() + LEASE, 1);
    for offset in 0..2 {
        tracker.take_in(at(offset), record(offset), None);
    }
    assert_eq!(tracker.counts(), (1, 0, 1));
    assert_eq!(tracker.done(&leased[0].place, leased[0].token).unwrap(), 1);
}
