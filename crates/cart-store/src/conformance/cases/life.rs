//! How long things live. Real time: there is no other way to see a backend expire something.
#![allow(missing_docs, reason = "the names say it")]

use std::time::Duration;

use crate::conformance::{Fixture, add, apply, bought, guest, member, order, quantity};
use crate::{CartOptions, Change, Command, GuestId, MergeId, MergeTtl};

const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_hours(1);
/// Longer than any clock's grain.
const PAST_IT: Duration = Duration::from_millis(100);

fn living(ttl: Duration) -> Change {
    Change::default().with_ttl(Some(ttl))
}

pub async fn carts_expire(fixture: &Fixture) {
    if fixture.cannot_expire() {
        return;
    }
    let (store, owner, lasting) = (fixture.store(), guest(), guest());
    apply(&*store, &lasting, &[add("tea", 1)]).await;
    store.apply(&owner, &[add("tea", 1)], &living(SHORT)).await.unwrap();
    assert_eq!(quantity(&*store, &owner, "tea").await, 1);
    tokio::time::sleep(PAST_IT).await;
    assert!(store.get(&owner).await.unwrap().is_none());
    assert_eq!(quantity(&*store, &lasting, "tea").await, 1);
    // A new cart begins with a new version, and with none of the old lines.
    let anew = store.apply(&owner, &[add("cup", 1)], &living(LONG)).await.unwrap();
    assert_eq!((anew.version, quantity(&*store, &owner, "tea").await), (1, 0));
}

pub async fn every_change_extends_the_life(fixture: &Fixture) {
    if fixture.cannot_expire() {
        return;
    }
    let (store, extended, kept) = (fixture.store(), guest(), guest());
    for owner in [&extended, &kept] {
        store.apply(owner, &[add("tea", 1)], &living(SHORT)).await.unwrap();
    }
    store.apply(&extended, &[add("tea", 1)], &living(LONG)).await.unwrap();
    // A batch that changes nothing extends nothing.
    store.apply(&kept, &[Command::CheckAll { checked: true }], &living(LONG)).await.unwrap();
    tokio::time::sleep(PAST_IT).await;
    assert_eq!(quantity(&*store, &extended, "tea").await, 2);
    assert!(store.get(&kept).await.unwrap().is_none());
}

pub async fn marks_expire(fixture: &Fixture) {
    if fixture.cannot_expire() || fixture.cannot_take() {
        return;
    }
    let (store, owner) = (fixture.store(), guest());
    apply(&*store, &owner, &[add("tea", 5)]).await;
    store.take(&owner, &order("long"), &bought(&[("tea", 1)]), LONG).await.unwrap();
    store.take(&owner, &order("short"), &bought(&[("tea", 1)]), SHORT).await.unwrap();
    tokio::time::sleep(PAST_IT).await;
    assert!(store.take(&owner, &order("long"), &bought(&[("tea", 1)]), LONG).await.unwrap().replayed);
    assert!(!store.take(&owner, &order("short"), &bought(&[("tea", 1)]), SHORT).await.unwrap().replayed);
    assert_eq!(quantity(&*store, &owner, "tea").await, 2);
}

pub async fn a_sealed_cart_that_expired_is_forgotten(fixture: &Fixture) {
    if fixture.cannot_expire() || fixture.cannot_merge() {
        return;
    }
    let (store, id) = (fixture.store(), GuestId::random());
    apply(&*store, &id.into(), &[add("tea", 1)]).await;
    let ttl = MergeTtl::new(SHORT, SHORT);
    store.seal(&id, &member("ann"), MergeId::random(), ttl).await.unwrap();
    tokio::time::sleep(PAST_IT).await;
    assert!(store.get(&id.into()).await.unwrap().is_none());
    let carts = fixture.carts().with_options(CartOptions::default().with_finish_after(Duration::ZERO));
    carts.finish_merges().await.unwrap();
    assert!(carts.unfinished_merges(Duration::ZERO).await.unwrap().is_empty());
}

pub async fn purging_drops_what_expired(fixture: &Fixture) {
    if fixture.cannot_expire() {
        return;
    }
    let (store, lasting) = (fixture.store(), guest());
    apply(&*store, &lasting, &[add("tea", 1)]).await;
    for _ in 0..5 {
        store.apply(&guest(), &[add("tea", 1)], &living(SHORT)).await.unwrap();
    }
    tokio::time::sleep(PAST_IT).await;
    let mut dropped = 0;
    loop {
        match store.purge(2).await.unwrap() {
            0 => break,
            some => dropped += some,
        }
    }
    // Redis expires by itself and says 0.
    assert!(dropped == 5 || dropped == 0, "{dropped}");
    assert_eq!(quantity(&*store, &lasting, "tea").await, 1);
}
