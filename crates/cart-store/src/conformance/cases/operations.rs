//! Changes that carry a name.
#![allow(missing_docs, reason = "the names say it")]

use crate::conformance::{Fixture, add, apply, guest, key, named, operation, quantity};
use crate::{Command, Error, Operation, Ring};

pub async fn a_repeat_is_answered_as_the_first_time(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    apply(&*store, &owner, &[add("cup", 1)]).await;
    let first = named(operation(1));
    let answer = store.apply(&owner, &[add("tea", 2)], &first).await.unwrap();
    assert_eq!((answer.version, answer.changed, answer.replayed), (2, true, false));
    // As long as it is remembered: this one and the newest five.
    for others in 0..Ring::SIZE {
        let again = store.apply(&owner, &[add("tea", 2)], &first).await.unwrap();
        assert_eq!((again.version, again.changed, again.replayed), (2, true, true), "after {others} others");
        // Whatever it expects: that it was carried out is the answer.
        let again = store.apply(&owner, &[add("tea", 2)], &first.with_expect(Some(1))).await.unwrap();
        assert!(again.replayed);
        if others + 1 < Ring::SIZE {
            store.apply(&owner, &[add("cup", 1)], &named(operation(2))).await.unwrap();
        }
    }
    assert_eq!(quantity(&*store, &owner, "tea").await, 2);
}

pub async fn a_repeat_of_what_failed_is_carried_out(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let change = named(operation(0));
    let set = [Command::Set { key: key("tea"), quantity: 5 }];
    assert!(store.apply(&owner, &set, &change).await.is_err());
    apply(&*store, &owner, &[add("tea", 1)]).await;
    assert!(!store.apply(&owner, &set, &change).await.unwrap().replayed);
    assert_eq!(quantity(&*store, &owner, "tea").await, 5);
}

/// A cart remembers few ids. A repeat that comes after its id was pushed out must not pass for a new operation.
pub async fn a_ring_of_ids_alone_counts_adds_twice(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let seen = apply(&*store, &owner, &[add("cup", 1)]).await.version;
    let lost = named(operation(seen));
    store.apply(&owner, &[add("tea", 1)], &lost).await.unwrap();
    for others in 0..40_u32 {
        let version = store.apply(&owner, &[add("cup", 1)], &named(operation(seen + others))).await.unwrap().version;
        let again = store.apply(&owner, &[add("tea", 1)], &lost).await;
        match again {
            Ok(again) => {
                assert!(again.replayed && (others as usize) < Ring::SIZE - 1, "after {others} others: {again:?}")
            }
            Err(Error::StaleOp { current }) => {
                assert!(current == version && others as usize >= Ring::SIZE - 1)
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(quantity(&*store, &owner, "tea").await, 1);
    }
}

pub async fn an_operation_from_the_future_is_stale(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    // Its sender saw an earlier cart of this owner, in which the operation may have been carried out.
    let refused = store.apply(&owner, &[add("tea", 1)], &named(operation(7))).await;
    assert!(matches!(refused, Err(Error::StaleOp { current: 0 })), "{refused:?}");
    assert!(store.get(&owner).await.unwrap().is_none());
}

pub async fn changes_without_a_name_do_not_push_operations_out(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let first = named(operation(0));
    store.apply(&owner, &[add("tea", 1)], &first).await.unwrap();
    for _ in 0..255 {
        apply(&*store, &owner, &[add("cup", 1)]).await;
    }
    let again = store.apply(&owner, &[add("tea", 1)], &first).await.unwrap();
    assert_eq!((again.version, again.replayed), (1, true));
    // Beyond that distance it is forgotten, and refused.
    apply(&*store, &owner, &[add("cup", 1)]).await;
    let late = store.apply(&owner, &[add("tea", 1)], &first).await;
    assert!(matches!(late, Err(Error::StaleOp { current: 257 })), "{late:?}");
    let fresh = store.apply(&owner, &[add("tea", 1)], &named(operation(257))).await.unwrap();
    assert_eq!((fresh.version, fresh.replayed), (258, false));
}

pub async fn a_hundred_operations_one_by_one(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    for version in 0..100 {
        let Operation { id, .. } = operation(version);
        let change = named(Operation { id, seen_version: version });
        let first = store.apply(&owner, &[add("tea", 1)], &change).await.unwrap();
        let again = store.apply(&owner, &[add("tea", 1)], &change).await.unwrap();
        assert_eq!(
            (first.version, again.version, first.replayed, again.replayed),
            (version + 1, version + 1, false, true)
        );
    }
    assert_eq!(quantity(&*store, &owner, "tea").await, 100);
}
