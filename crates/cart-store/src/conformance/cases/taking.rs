//! What an order bought leaves the cart.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::conformance::{Faulty, Fixture, Step, add, apply, bought, guest, lines, member, order, quantity};
use crate::{Carts, Command, Error, GuestId, Owner};

const DAY: Duration = Duration::from_hours(24);

pub async fn what_was_bought_leaves_once(fixture: &Fixture) {
    if fixture.cannot_take() {
        return;
    }
    let (store, owner) = (fixture.store(), Owner::Member(member("ann")));
    apply(&*store, &owner, &[add("tea", 5), add("cup", 2), add("pot", 1), Command::CheckAll { checked: false }]).await;
    let lines_bought = bought(&[("tea", 3), ("cup", 2), ("pot", 4), ("gone", 1)]);
    let first = store.take(&owner, &order("1"), &lines_bought, DAY).await.unwrap();
    assert_eq!((first.version, first.quantity, first.replayed), (2, 6, false));
    for _ in 0..2 {
        assert_eq!(lines(&*store, &owner).await, [("tea".to_owned(), 2, false)]);
        let again = store.take(&owner, &order("1"), &lines_bought, DAY).await.unwrap();
        assert_eq!((again.version, again.quantity, again.replayed), (2, 6, true));
    }
    // Each order has its own effect, each owner his own orders.
    assert_eq!(store.take(&owner, &order("2"), &bought(&[("tea", 1)]), DAY).await.unwrap().quantity, 1);
    assert_eq!(store.take(&guest(), &order("2"), &bought(&[("tea", 1)]), DAY).await.unwrap().quantity, 0);
    assert_eq!(quantity(&*store, &owner, "tea").await, 1);
    // Nothing left to take is no change.
    let none = store.take(&owner, &order("3"), &bought(&[("pot", 1)]), DAY).await.unwrap();
    assert_eq!((none.version, none.quantity, none.replayed), (3, 0, false));
}

pub async fn later_adds_stay(fixture: &Fixture) {
    if fixture.cannot_take() {
        return;
    }
    let (store, owner, carts) = (fixture.store(), guest(), fixture.carts());
    apply(&*store, &owner, &[add("tea", 2)]).await;
    // The answer to the first try is lost; the owner adds; the message comes again.
    let dying = Carts::new(Faulty::dying_after(Step::Take, fixture.store()));
    assert!(dying.take(&owner, &order("1"), &bought(&[("tea", 2)])).await.is_err());
    apply(&*store, &owner, &[add("tea", 1)]).await;
    assert!(carts.take(&owner, &order("1"), &bought(&[("tea", 2)])).await.unwrap().replayed);
    assert_eq!(quantity(&*store, &owner, "tea").await, 1);
}

pub async fn many_takes_of_one_order_count_once(fixture: &Fixture) {
    if fixture.cannot_take() {
        return;
    }
    let (store, owner) = (fixture.store(), guest());
    apply(&*store, &owner, &[add("tea", 100)]).await;
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tasks
            .spawn(async move { store.take(&owner, &order("1"), &bought(&[("tea", 3)]), DAY).await.unwrap().replayed });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|replayed| !replayed).count(), 1);
    assert_eq!(quantity(&*store, &owner, "tea").await, 97);
}

pub async fn an_order_is_remembered_without_a_cart(fixture: &Fixture) {
    if fixture.cannot_take() {
        return;
    }
    let (store, owner) = (fixture.store(), guest());
    let none = store.take(&owner, &order("1"), &bought(&[("tea", 1)]), DAY).await.unwrap();
    assert_eq!((none.version, none.quantity, none.replayed), (0, 0, false));
    assert!(store.get(&owner).await.unwrap().is_none());
    apply(&*store, &owner, &[add("tea", 1)]).await;
    assert!(store.take(&owner, &order("1"), &bought(&[("tea", 1)]), DAY).await.unwrap().replayed);
    assert_eq!(quantity(&*store, &owner, "tea").await, 1);
}

pub async fn a_merged_cart_has_nothing_to_take(fixture: &Fixture) {
    if fixture.cannot_take() || fixture.cannot_merge() {
        return;
    }
    let (store, id) = (fixture.store(), GuestId::random());
    apply(&*store, &id.into(), &[add("tea", 1)]).await;
    fixture.carts().merge(&id, &member("ann")).await.unwrap();
    let refused = store.take(&id.into(), &order("1"), &bought(&[("tea", 1)]), DAY).await;
    assert!(matches!(&refused, Err(Error::Sealed { into }) if *into == member("ann")), "{refused:?}");
}
