//! One change at a time.
#![allow(missing_docs, reason = "the names say it")]

use crate::conformance::{Fixture, add, apply, guest, item, key, lines, member, quantity};
use crate::{Change, Clamped, Command, Error, LimitKind, Limits, OnExcess, Owner, PriceHint};

pub async fn get_never_creates(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    assert!(store.get(&owner).await.unwrap().is_none());
    assert!(store.get(&owner).await.unwrap().is_none());
    assert_eq!(fixture.carts().get(&owner).await.unwrap().version, 0);
    assert!(!store.delete(&owner).await.unwrap());
}

pub async fn an_empty_batch_changes_nothing(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let applied = apply(&*store, &owner, &[]).await;
    assert_eq!((applied.version, applied.changed), (0, false));
    assert!(store.get(&owner).await.unwrap().is_none());
    apply(&*store, &owner, &[add("tea", 1)]).await;
    for idle in [
        Command::Remove { key: key("cup") },
        Command::CheckAll { checked: true },
        Command::Set { key: key("tea"), quantity: 1 },
    ] {
        let applied = apply(&*store, &owner, &[idle]).await;
        assert_eq!((applied.version, applied.changed, applied.replayed), (1, false, false));
    }
}

pub async fn a_refused_batch_creates_nothing(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    for batch in
        [vec![add("tea", 1), add("cup", 1_000)], vec![add("tea", 0)], vec![add("tea", -1)], vec![add("tea", 1); 1_001]]
    {
        assert!(store.apply(&owner, &batch, &Change::default()).await.is_err());
    }
    assert!(store.get(&owner).await.unwrap().is_none());
}

pub async fn every_command_does_what_it_says(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let line = |sku: &str, quantity, checked| (sku.to_owned(), quantity, checked);
    apply(&*store, &owner, &[add("cup", 2), add("tea", 1), add("tea", 4)]).await;
    assert_eq!(lines(&*store, &owner).await, [line("cup", 2, true), line("tea", 5, true)]);
    apply(&*store, &owner, &[Command::Set { key: key("tea"), quantity: 3 }, add("cup", -1)]).await;
    apply(&*store, &owner, &[Command::Check { key: key("cup"), checked: false }]).await;
    assert_eq!(lines(&*store, &owner).await, [line("cup", 1, false), line("tea", 3, true)]);
    apply(&*store, &owner, &[Command::CheckAll { checked: false }]).await;
    assert_eq!(lines(&*store, &owner).await, [line("cup", 1, false), line("tea", 3, false)]);
    apply(&*store, &owner, &[Command::CheckAll { checked: true }, add("pot", 1)]).await;
    assert_eq!(lines(&*store, &owner).await, [line("cup", 1, true), line("pot", 1, true), line("tea", 3, true)]);
    apply(&*store, &owner, &[Command::Set { key: key("tea"), quantity: 0 }, add("cup", -7)]).await;
    assert_eq!(lines(&*store, &owner).await, [line("pot", 1, true)]);
    apply(&*store, &owner, &[add("tea", 1), Command::Remove { key: key("pot") }]).await;
    assert_eq!(lines(&*store, &owner).await, [line("tea", 1, true)]);
    let applied = apply(&*store, &owner, &[add("cup", 1), Command::Clear]).await;
    assert_eq!((applied.version, lines(&*store, &owner).await), (8, vec![]));
    // An emptied cart goes on with its version.
    assert_eq!(apply(&*store, &owner, &[add("tea", 1)]).await.version, 9);
}

pub async fn any_text_may_be_a_sku(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let skus = ["!", "茶-01", "🦀", "Tea", "tea", "tea ", "a:b{c}%", "'; drop", "0"];
    for sku in skus {
        apply(&*store, &owner, &[add(sku, 2), Command::Check { key: key(sku), checked: false }]).await;
    }
    assert_eq!(lines(&*store, &owner).await.len(), skus.len());
    for sku in skus {
        assert_eq!(quantity(&*store, &owner, sku).await, 2, "{sku}");
    }
}

pub async fn a_line_keeps_its_price_and_time(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let priced =
        |amount| Command::Add { item: item("tea").with_price_hint(PriceHint { amount, currency: *b"EUR" }), delta: 1 };
    apply(&*store, &owner, &[priced(i64::MIN)]).await;
    let first = store.get(&owner).await.unwrap().unwrap().lines.remove(0);
    assert_eq!(first.price_hint.unwrap().amount, i64::MIN);
    assert!(first.added_at > 1_700_000_000_000, "{}", first.added_at);
    // A later add without a price keeps the hint; one with another replaces it; the time stays.
    apply(&*store, &owner, &[add("tea", 1)]).await;
    assert_eq!(store.get(&owner).await.unwrap().unwrap().lines[0].price_hint, first.price_hint);
    apply(&*store, &owner, &[priced(i64::MAX)]).await;
    let last = store.get(&owner).await.unwrap().unwrap().lines.remove(0);
    assert_eq!((last.price_hint.unwrap().amount, last.added_at, last.quantity), (i64::MAX, first.added_at, 3));
}

pub async fn a_batch_is_all_or_nothing(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    apply(&*store, &owner, &[add("tea", 998)]).await;
    let before = store.get(&owner).await.unwrap();
    for last in [
        add("tea", 2),
        Command::Set { key: key("pot"), quantity: 1 },
        Command::Check { key: key("pot"), checked: true },
    ] {
        let batch = [add("cup", 1), Command::CheckAll { checked: false }, Command::Remove { key: key("cup") }, last];
        assert!(store.apply(&owner, &batch, &Change::default()).await.is_err());
        assert_eq!(store.get(&owner).await.unwrap(), before);
    }
}

pub async fn a_batch_is_one_version(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    for version in 1..=10 {
        let applied = apply(&*store, &owner, &[add("tea", 1), add("cup", 1), add("pot", 1)]).await;
        assert_eq!((applied.version, applied.changed, applied.replayed), (version, true, false));
        assert_eq!(store.get(&owner).await.unwrap().unwrap().version, version);
    }
}

pub async fn what_is_not_there_cannot_be_set(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    apply(&*store, &owner, &[add("tea", 1)]).await;
    let pot = key("pot");
    for command in [
        Command::Set { key: pot.clone(), quantity: 1 },
        Command::Set { key: pot.clone(), quantity: 0 },
        Command::Check { key: pot.clone(), checked: true },
        add("pot", -1),
    ] {
        let refused = store.apply(&owner, &[command], &Change::default()).await;
        assert!(matches!(&refused, Err(Error::UnknownLine { key }) if *key == pot), "{refused:?}");
    }
}

pub async fn a_quantity_up_to_the_limit_fits(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    apply(&*store, &owner, &[add("tea", 999)]).await;
    let exceeded = |result| match result {
        Err(Error::Limit(exceeded)) => (exceeded.kind, exceeded.limit, exceeded.got),
        other => panic!("{other:?}"),
    };
    let more = store.apply(&owner, &[add("tea", 1)], &Change::default()).await;
    assert_eq!(exceeded(more), (LimitKind::Quantity, 999, 1_000));
    let more = store.apply(&owner, &[add("cup", i32::MAX)], &Change::default()).await;
    assert_eq!(exceeded(more), (LimitKind::Quantity, 999, 2_147_483_647));
    let more = store.apply(&owner, &[Command::Set { key: key("tea"), quantity: u32::MAX }], &Change::default()).await;
    assert_eq!(exceeded(more), (LimitKind::Quantity, 999, u64::from(u32::MAX)));
    // A limit that was lowered since takes nothing away, and lets the owner take some out.
    let lower = Change::default().with_limits(Limits::default().with_max_quantity(10));
    assert!(store.apply(&owner, &[add("tea", 1)], &lower).await.is_err());
    store.apply(&owner, &[add("tea", -1)], &lower).await.unwrap();
    assert_eq!(quantity(&*store, &owner, "tea").await, 998);
}

pub async fn as_many_lines_as_the_limit_fit(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let change = Change::default().with_limits(Limits::default().with_max_lines(3));
    store.apply(&owner, &[add("a", 1), add("b", 1), add("c", 1)], &change).await.unwrap();
    let refused = store.apply(&owner, &[add("d", 1)], &change).await;
    assert!(
        matches!(&refused, Err(Error::Limit(e)) if (e.kind, e.limit, e.got) == (LimitKind::Lines, 3, 4)),
        "{refused:?}"
    );
    store.apply(&owner, &[add("a", 1), Command::Remove { key: key("b") }, add("d", 1)], &change).await.unwrap();
    assert_eq!(lines(&*store, &owner).await.len(), 3);
}

pub async fn clamping_keeps_what_fits_and_says_so(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let limits = Limits::default().with_max_quantity(5).with_max_lines(2).with_on_excess(OnExcess::Clamp);
    let change = Change::default().with_limits(limits);
    let applied = store.apply(&owner, &[add("a", 4), add("a", 3), add("b", 9), add("c", 1)], &change).await.unwrap();
    let note = |sku, asked, kept| Clamped { key: key(sku), asked, kept };
    assert_eq!(applied.notes, [note("a", 7, 5), note("b", 9, 5), note("c", 1, 0)]);
    let applied = store.apply(&owner, &[add("a", 1)], &change).await.unwrap();
    assert_eq!((applied.changed, applied.version, applied.notes), (false, 1, vec![note("a", 6, 5)]));
    let set = [Command::Set { key: key("b"), quantity: 1 }, Command::Set { key: key("b"), quantity: 7 }];
    assert_eq!(store.apply(&owner, &set, &change).await.unwrap().notes, [note("b", 7, 5)]);
}

pub async fn the_largest_cart_is_stored(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let change = Change::default().with_limits(Limits::default().with_max_lines(500));
    let hint = PriceHint { amount: 1, currency: *b"EUR" };
    let sku = |n: i32| format!("{n:0>48}");
    let batch: Vec<_> =
        (0..500).map(|n| Command::Add { item: item(&sku(n)).with_price_hint(hint), delta: 1 + n % 99 }).collect();
    store.apply(&owner, &batch, &change).await.unwrap();
    let cart = store.get(&owner).await.unwrap().unwrap();
    assert_eq!(cart.lines.len(), 500);
    assert!((0..500).all(|n| cart.line(&key(&sku(n))).unwrap().quantity == u32::try_from(1 + n % 99).unwrap()));
    assert!(cart.lines.is_sorted_by_key(|line| (line.added_at, line.key.clone())));
}

pub async fn another_version_than_expected_is_a_conflict(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let at = |version| Change::default().with_expect(Some(version));
    let early = store.apply(&owner, &[add("tea", 1)], &at(1)).await;
    assert!(matches!(early, Err(Error::Conflict { current: 0 })), "{early:?}");
    store.apply(&owner, &[add("tea", 1)], &at(0)).await.unwrap();
    let late = store.apply(&owner, &[add("tea", 1)], &at(0)).await;
    assert!(matches!(late, Err(Error::Conflict { current: 1 })), "{late:?}");
    store.apply(&owner, &[add("tea", 1)], &at(1)).await.unwrap();
    assert_eq!(quantity(&*store, &owner, "tea").await, 2);
}

pub async fn a_guest_and_a_member_of_one_name_are_two(fixture: &Fixture) {
    let store = fixture.store();
    let Owner::Guest(id) = guest() else { unreachable!() };
    let (guest, same) = (Owner::Guest(id), Owner::Member(member(&id.text())));
    apply(&*store, &same, &[add("tea", 1)]).await;
    assert!(store.get(&guest).await.unwrap().is_none());
    // Names that could run into one another when keys are put together.
    let names = ["5", "05", "5:m", "g:5", "u:5", "A", "a", "5}", "{5", "*"];
    for (n, name) in names.iter().enumerate() {
        apply(&*store, &Owner::Member(member(name)), &[add("tea", i32::try_from(n).unwrap() + 1)]).await;
    }
    for (n, name) in names.iter().enumerate() {
        assert_eq!(
            quantity(&*store, &Owner::Member(member(name)), "tea").await,
            u32::try_from(n).unwrap() + 1,
            "{name}"
        );
    }
}

pub async fn deleting_leaves_nothing(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let operation = crate::conformance::operation(0);
    let change = crate::conformance::named(operation);
    store.apply(&owner, &[add("tea", 1)], &change).await.unwrap();
    assert!(store.delete(&owner).await.unwrap());
    assert!(!store.delete(&owner).await.unwrap());
    assert!(store.get(&owner).await.unwrap().is_none());
    let again = store.apply(&owner, &[add("tea", 1)], &change).await.unwrap();
    assert_eq!((again.version, again.replayed), (1, false));
}

pub async fn the_store_is_healthy(fixture: &Fixture) {
    fixture.store().health().await.unwrap();
}
