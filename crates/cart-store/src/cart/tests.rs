//! The memory of operations, and the invariants of any sequence of commands.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::conformance::Random;
use crate::types::{Item, Limits, OnExcess, Operation, OperationId, PriceHint, Sku};

/// What a sender does whose answer may be lost: it sends the same operation again until it hears something. Many senders,
/// in random order. Answers how often each operation was counted, and how many ended without knowing.
fn senders(seed: u64, mut send: impl FnMut(Operation) -> Option<bool>, version: impl Fn() -> u32) -> (u32, u32) {
    const SENDERS: u32 = 32;
    let mut random = Random::new(seed);
    let mut counted: HashMap<OperationId, u32> = HashMap::new();
    let mut pending: Vec<Option<(Operation, bool)>> = vec![None; SENDERS as usize];
    let (mut made, mut unknown) = (0_u64, 0);
    for _ in 0..20_000 {
        let sender = &mut pending[random.below(SENDERS) as usize];
        let (operation, repeated) = *sender.get_or_insert_with(|| {
            made += 1;
            (Operation { id: OperationId::from_bytes(made.to_be_bytes()), seen_version: version() }, false)
        });
        match send(operation) {
            Some(fresh) => {
                *counted.entry(operation.id).or_default() += u32::from(fresh);
                // One answer in twenty is lost, and the sender comes again later.
                *sender = (random.below(20) == 0).then_some((operation, true));
            }
            None => {
                unknown += u32::from(repeated);
                *sender = None;
            }
        }
    }
    (counted.values().filter(|times| **times > 1).count().try_into().unwrap(), unknown)
}

#[test]
fn a_ring_of_sixteen_ids_alone_counts_adds_twice() {
    let ring = std::cell::RefCell::new(std::collections::VecDeque::new());
    let alone = |operation: Operation| {
        let mut ring = ring.borrow_mut();
        let fresh = !ring.contains(&operation.id);
        if fresh {
            ring.push_front(operation.id);
            ring.truncate(16);
        }
        Some(fresh)
    };
    let (twice, _) = senders(1, alone, || 0);
    assert!(twice > 50, "the hazard is gone: {twice}");
}

#[test]
fn a_ring_of_six_with_the_version_seen_counts_none_twice() {
    let record = std::cell::RefCell::new(Record::default());
    let tea = [Command::Add { item: Item::new(Sku::new("tea").unwrap()), delta: 1 }];
    let limits = Limits::default().with_max_quantity(u32::MAX);
    let with_version = |operation| {
        let change = Change::default().with_operation(Some(operation)).with_limits(limits);
        match record.borrow_mut().apply(&tea, &change, 0) {
            Ok(applied) => Some(!applied.replayed),
            Err(Error::StaleOp { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    };
    let (twice, unknown) = senders(1, with_version, || record.borrow().version);
    assert_eq!(twice, 0);
    assert!(unknown > 50, "the repeats came too early to show anything: {unknown}");
}

#[test]
fn the_floor_is_the_version_before_the_oldest_remembered() {
    let mut ring = Ring::default();
    let id = |n: u32| OperationId::from_bytes(u64::from(n).to_be_bytes());
    for version in 1..=100 {
        ring.advance(version, Some(id(version)));
        let oldest = version.saturating_sub(5).max(1);
        assert_eq!(ring.entries.len(), version.min(6) as usize);
        assert_eq!(ring.floor, oldest - 1);
        assert_eq!(ring.version_of(id(oldest)), Some(oldest));
        assert_eq!(ring.version_of(id(oldest - 1)), None);
        assert!(!ring.is_stale(oldest - 1, version) && !ring.is_stale(version, version));
        assert!(oldest < 2 || ring.is_stale(oldest - 2, version));
        assert!(ring.is_stale(version + 1, version));
    }
    // Without names the oldest fall out of reach, the newest last; the floor never sinks.
    let mut floor = ring.floor;
    for version in 101..1_000 {
        ring.advance(version, None);
        assert!(ring.floor >= floor);
        floor = ring.floor;
        assert_eq!(ring.version_of(id(100)).is_some(), version <= 100 + Ring::REACH, "{version}");
    }
    assert_eq!((ring.entries.len(), ring.floor), (0, 100));
}

fn sku() -> impl Strategy<Value = Sku> {
    "[a-e]".prop_map(|text| Sku::new(text).unwrap())
}

fn command() -> impl Strategy<Value = Command> {
    let key = || sku().prop_map(|sku| LineKey::of(&sku));
    let hint = proptest::option::of(any::<i64>().prop_map(|amount| PriceHint { amount, currency: *b"EUR" }));
    prop_oneof![
        4 => (sku(), hint, -3..9_i32).prop_map(|(sku, price_hint, delta)| Command::Add { item: Item { sku, price_hint }, delta }),
        2 => (key(), 0..14_u32).prop_map(|(key, quantity)| Command::Set { key, quantity }),
        1 => (key(), any::<bool>()).prop_map(|(key, checked)| Command::Check { key, checked }),
        1 => any::<bool>().prop_map(|checked| Command::CheckAll { checked }),
        1 => key().prop_map(|key| Command::Remove { key }),
        1 => Just(Command::Clear),
    ]
}

proptest! {
    #[test]
    fn any_batches_keep_the_limits_and_the_version_counts_changes(
        batches in proptest::collection::vec(proptest::collection::vec(command(), 0..6), 1..20),
        clamp: bool,
    ) {
        let policy = if clamp { OnExcess::Clamp } else { OnExcess::Reject };
        let limits = Limits::default().with_max_quantity(10).with_max_lines(3).with_on_excess(policy);
        let mut record = Record::default();
        for (now, batch) in batches.iter().enumerate() {
            let before = record.clone();
            match record.apply(batch, &Change::default().with_limits(limits), now as u64) {
                Ok(applied) => {
                    prop_assert_eq!(applied.version, before.version + u32::from(applied.changed));
                    prop_assert_eq!(applied.version, record.version);
                    prop_assert!(applied.changed || before == record);
                    prop_assert!(clamp || applied.notes.is_empty());
                }
                Err(_) => prop_assert_eq!(&record, &before),
            }
            prop_assert!(record.lines.len() <= 3);
            prop_assert!(record.lines.values().all(|line| (1..=10).contains(&line.quantity)));
            prop_assert!(record.lines.iter().all(|(key, line)| *key == line.key));
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
        }
    }

    #[test]
    fn a_merge_keeps_what_both_had_up_to_the_limits(
        guest in proptest::collection::vec(command(), 0..8),
        member in proptest::collection::vec(command(), 0..8),
        most_lines in 0..6_u32,
    ) {
        let wide = Change::default();
        let (mut of_guest, mut of_member) = (Record::default(), Record::default());
        let _ = of_guest.apply(&guest, &wide, 1);
        let _ = of_member.apply(&member, &wide, 2);
        let (before, lines) = (of_member.clone(), of_guest.lines.values().cloned().collect::<Vec<_>>());
        let limits = Limits::default().with_max_quantity(10).with_max_lines(most_lines);
        let report = of_member.absorb(&lines, &limits).unwrap();
        let pieces = |record: &Record| record.lines.values().map(|line| u64::from(line.quantity)).sum::<u64>();
        prop_assert_eq!(pieces(&of_member), pieces(&before) + report.quantity);
        let cut: u64 = report.clamped.iter().map(|cut| cut.asked - u64::from(cut.kept)).sum();
        prop_assert_eq!(pieces(&of_guest), report.quantity + cut);
        // What the member had is still there.
        for (key, line) in &before.lines {
            let now = &of_member.lines[key];
            prop_assert!(now.quantity >= line.quantity && (now.checked || !line.checked));
            prop_assert!(now.quantity <= 10.max(line.quantity) && now.added_at == line.added_at);
        }
        prop_assert!(of_member.lines.len() <= before.lines.len().max(most_lines as usize));
    }
}
