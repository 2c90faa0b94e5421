//! A guest's cart into a member's.
#![allow(missing_docs, reason = "the names say it")]

use std::time::Duration;

use onceward_backend::RetryPolicy;
use tokio::task::JoinSet;

use crate::conformance::{Faulty, Fixture, Step, add, apply, item, key, lines, member, quantity};
use crate::{
    CartOptions, Carts, Change, Clamped, Command, Error, GuestId, Limits, MergeId, MergeReport, MergeTtl, OnExcess,
    Owner, PriceHint, Stage,
};

/// A guest with tea 2 and cup 1 (unchecked), a member with tea 3.
async fn two_carts(fixture: &Fixture, name: &str) -> (GuestId, Owner) {
    let (store, guest) = (fixture.store(), GuestId::random());
    let member = Owner::Member(member(name));
    apply(&*store, &guest.into(), &[add("tea", 2), add("cup", 1), Command::Check { key: key("cup"), checked: false }])
        .await;
    apply(&*store, &member, &[add("tea", 3)]).await;
    (guest, member)
}

fn merged() -> Vec<(String, u32, bool)> {
    vec![("cup".to_owned(), 1, false), ("tea".to_owned(), 5, true)]
}

fn shape(report: &MergeReport) -> (u32, u64, u32, bool) {
    (report.lines, report.quantity, report.version, report.replayed)
}

pub async fn quantities_add_up(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let store = fixture.store();
    let (guest, owner) = two_carts(fixture, "ann").await;
    let hint = PriceHint { amount: 5, currency: *b"EUR" };
    let pot = Command::Add { item: item("pot").with_price_hint(hint), delta: 1 };
    apply(&*store, &guest.into(), &[pot, Command::Check { key: key("tea"), checked: false }]).await;
    let before = store.get(&guest.into()).await.unwrap().unwrap();
    let report = fixture.carts().merge(&guest, &member("ann")).await.unwrap();
    assert_eq!((shape(&report), report.clamped.len()), ((3, 4, 2, false), 0));
    let mut all = merged();
    all.insert(1, ("pot".to_owned(), 1, true));
    assert_eq!(lines(&*store, &owner).await, all);
    // A line comes as it was.
    let cart = store.get(&owner).await.unwrap().unwrap();
    assert_eq!(cart.line(&key("pot")), before.line(&key("pot")));
    assert_eq!(cart.line(&key("cup")), before.line(&key("cup")));
    assert_eq!(lines(&*store, &guest.into()).await, []);
}

pub async fn a_line_is_checked_if_one_of_the_two_was(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (store, guest, owner) = (fixture.store(), GuestId::random(), Owner::Member(member("ann")));
    let uncheck = |sku| Command::Check { key: key(sku), checked: false };
    apply(&*store, &guest.into(), &[add("a", 1), add("b", 1), add("c", 1), uncheck("b"), uncheck("c")]).await;
    apply(&*store, &owner, &[add("a", 1), add("b", 1), add("c", 1), uncheck("a"), uncheck("c")]).await;
    fixture.carts().merge(&guest, &member("ann")).await.unwrap();
    let line = |sku: &str, checked| (sku.to_owned(), 2, checked);
    assert_eq!(lines(&*store, &owner).await, [line("a", true), line("b", true), line("c", false)]);
}

pub async fn a_step_of_another_merge_changes_nothing(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let store = fixture.store();
    let (guest, _) = two_carts(fixture, "ann").await;
    let (merge, day) = (MergeId::random(), Duration::from_hours(24));
    let stage = async || store.get(&guest.into()).await.unwrap().unwrap().sealed.map(|seal| seal.stage);
    // Nothing is tombstoned that was not sealed, and nothing settled that was not tombstoned.
    store.tombstone(&guest, merge, day).await.unwrap();
    assert_eq!(stage().await, None);
    store.seal(&guest, &member("ann"), merge, MergeTtl::default()).await.unwrap();
    store.tombstone(&guest, MergeId::random(), day).await.unwrap();
    store.settle(&guest, merge).await.unwrap();
    assert_eq!(stage().await, Some(Stage::Sealed));
    for _ in 0..2 {
        store.tombstone(&guest, merge, day).await.unwrap();
        store.settle(&guest, MergeId::random()).await.unwrap();
        assert_eq!(stage().await, Some(Stage::Tombstoned));
    }
    store.settle(&guest, merge).await.unwrap();
    store.tombstone(&guest, merge, day).await.unwrap();
    assert_eq!(stage().await, Some(Stage::Settled));
    assert!(store.unfinished(Duration::ZERO, Duration::ZERO, 10).await.unwrap().is_empty());
}

pub async fn a_merge_is_cut_down_to_the_limits(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (store, guest) = (fixture.store(), GuestId::random());
    apply(&*store, &guest.into(), &[add("a", 9), add("b", 9), add("c", 1)]).await;
    let owner = Owner::Member(member("bob"));
    apply(&*store, &owner, &[add("a", 8), add("z", 50)]).await;
    for policy in [OnExcess::Reject, OnExcess::Clamp] {
        let limits = Limits::default().with_max_quantity(10).with_max_lines(3).with_on_excess(policy);
        let carts = fixture.carts().with_options(CartOptions::default().with_limits(limits));
        let report = carts.merge(&guest, &member("bob")).await.unwrap();
        let clamped = |sku, asked, kept| Clamped { key: key(sku), asked, kept };
        assert_eq!(report.clamped, [clamped("a", 17, 10), clamped("c", 1, 0)]);
        assert_eq!((report.lines, report.quantity, report.version), (2, 11, 2));
    }
    let all = [("a".to_owned(), 10, true), ("b".to_owned(), 9, true), ("z".to_owned(), 50, true)];
    assert_eq!(lines(&*store, &owner).await, all);
}

pub async fn a_repeated_merge_counts_once(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (store, carts) = (fixture.store(), fixture.carts());
    let (guest, owner) = two_carts(fixture, "ann").await;
    let first = carts.merge(&guest, &member("ann")).await.unwrap();
    apply(&*store, &owner, &[Command::Remove { key: key("cup") }]).await;
    for _ in 0..3 {
        let again = carts.merge(&guest, &member("ann")).await.unwrap();
        assert_eq!(again, MergeReport { replayed: true, ..first.clone() });
    }
    assert_eq!(lines(&*store, &owner).await, [("tea".to_owned(), 5, true)]);
}

pub async fn many_merges_at_once_count_once(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (guest, owner) = two_carts(fixture, "ann").await;
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        // Each as another process would.
        let carts = fixture.carts();
        tasks.spawn(async move { carts.merge(&guest, &member("ann")).await.unwrap() });
    }
    let reports = tasks.join_all().await;
    assert_eq!(reports.iter().filter(|report| !report.replayed).count(), 1);
    assert!(reports.iter().all(|report| (report.lines, report.quantity, report.version) == (2, 3, 2)));
    assert_eq!(lines(&*fixture.store(), &owner).await, merged());
}

pub async fn a_merge_that_dies_after_any_step_is_finished(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let store = fixture.store();
    for (name, step) in [("seal", Step::Seal), ("absorb", Step::Absorb), ("tombstone", Step::Tombstone)] {
        let (guest, owner) = two_carts(fixture, name).await;
        let dying = Carts::new(Faulty::dying_after(step, fixture.store()));
        assert!(dying.merge(&guest, &member(name)).await.is_err());

        let carts = fixture.carts().with_options(CartOptions::default().with_finish_after(Duration::ZERO));
        let left = carts.unfinished_merges(Duration::ZERO).await.unwrap();
        assert_eq!(left.len(), usize::from(step != Step::Tombstone), "after {name}");
        assert!(
            left.iter().all(|merge| (merge.guest, merge.stage) == (guest, Stage::Sealed) && merge.into == member(name))
        );
        assert!(carts.unfinished_merges(Duration::from_secs(60)).await.unwrap().is_empty());
        let sweep = carts.finish_merges().await.unwrap();
        assert_eq!((sweep.finished as usize, sweep.failed), (left.len(), 0));
        assert!(carts.unfinished_merges(Duration::ZERO).await.unwrap().is_empty());
        assert_eq!(lines(&*store, &owner).await, merged(), "after {name}");
        // The next login of that browser finds it done.
        assert!(carts.merge(&guest, &member(name)).await.unwrap().replayed);
        assert_eq!(lines(&*store, &owner).await, merged(), "after {name}");
    }
}

pub async fn a_merge_into_another_member_is_refused(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (store, carts) = (fixture.store(), fixture.carts());
    let (guest, owner) = two_carts(fixture, "ann").await;
    let dying = Carts::new(Faulty::dying_after(Step::Seal, fixture.store()));
    assert!(dying.merge(&guest, &member("ann")).await.is_err());
    for _ in 0..2 {
        let refused = carts.merge(&guest, &member("bob")).await;
        assert!(matches!(&refused, Err(Error::Sealed { into }) if *into == member("ann")), "{refused:?}");
        assert!(store.get(&Owner::Member(member("bob"))).await.unwrap().is_none());
        carts.merge(&guest, &member("ann")).await.unwrap();
    }
    assert_eq!(lines(&*store, &owner).await, merged());
}

pub async fn a_sealed_cart_refuses_writes(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (store, carts) = (fixture.store(), fixture.carts());
    let (guest, owner) = two_carts(fixture, "ann").await;
    let dying = Carts::new(Faulty::dying_after(Step::Seal, fixture.store()));
    assert!(dying.merge(&guest, &member("ann")).await.is_err());
    for merged in [false, true] {
        let refused = store.apply(&guest.into(), &[add("pot", 1)], &Change::default()).await;
        assert!(matches!(&refused, Err(Error::Sealed { into }) if *into == member("ann")), "{refused:?}");
        let refused = carts.add(&guest.into(), item("pot"), 1).await;
        assert!(matches!(refused, Err(Error::Sealed { .. })), "{refused:?}");
        let cart = store.get(&guest.into()).await.unwrap().unwrap();
        assert_eq!((cart.sealed.unwrap().into, cart.lines.is_empty()), (member("ann"), merged));
        carts.merge(&guest, &member("ann")).await.unwrap();
    }
    assert_eq!(quantity(&*store, &owner, "pot").await, 0);
}

pub async fn a_guest_without_a_cart_is_merged_at_once(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (store, carts, guest) = (fixture.store(), fixture.carts(), GuestId::random());
    assert_eq!(carts.merge(&guest, &member("ann")).await.unwrap(), MergeReport::default());
    assert!(store.get(&Owner::Member(member("ann"))).await.unwrap().is_none());
    assert!(carts.unfinished_merges(Duration::ZERO).await.unwrap().is_empty());
    // An add that was under way learns where the cart is now, instead of being left behind.
    let late = carts.add(&guest.into(), item("tea"), 1).await;
    assert!(matches!(&late, Err(Error::Sealed { into }) if *into == member("ann")), "{late:?}");
    let emptied = GuestId::random();
    apply(&*store, &emptied.into(), &[add("tea", 1), Command::Clear]).await;
    assert_eq!(carts.merge(&emptied, &member("ann")).await.unwrap(), MergeReport::default());
}

pub async fn no_add_is_lost_beside_a_merge(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let (carts, guest) = (fixture.carts(), GuestId::random());
    carts.add(&guest.into(), item("tea"), 1).await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let carts = carts.clone();
        tasks.spawn(async move {
            if task % 8 == 7 {
                carts.merge(&guest, &member("ann")).await.unwrap();
                return 0;
            }
            match carts.add(&guest.into(), item("tea"), 1).await {
                Ok(_) => 1,
                Err(Error::Sealed { .. }) => 0,
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    let acknowledged: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(quantity(&*fixture.store(), &Owner::Member(member("ann")), "tea").await, 1 + acknowledged);
}

/// A replica that takes over may lack the absorb and have the tombstone.
pub async fn a_lost_absorb_is_absorbed_again(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let store = fixture.store();
    let options = CartOptions::default().with_recheck_after(Duration::ZERO);
    let carts = fixture.carts().with_options(options);
    let (guest, owner) = two_carts(fixture, "ann").await;
    carts.merge(&guest, &member("ann")).await.unwrap();
    store.delete(&owner).await.unwrap();
    let sweep = carts.finish_merges().await.unwrap();
    assert_eq!((sweep.finished, sweep.rechecked, sweep.failed), (0, 1, 0));
    assert_eq!(lines(&*store, &owner).await, [("cup".to_owned(), 1, false), ("tea".to_owned(), 2, true)]);
    // Once looked at, it is left in peace.
    assert_eq!(carts.finish_merges().await.unwrap().rechecked, 0);
    assert!(carts.merge(&guest, &member("ann")).await.unwrap().replayed);
}

pub async fn lost_replies_do_not_merge_twice(fixture: &Fixture) {
    if fixture.cannot_merge() {
        return;
    }
    let retry = RetryPolicy::exponential().with_base(Duration::from_millis(1)).with_max(Duration::from_millis(5));
    let options = CartOptions::default().with_retry(retry.with_attempts(30));
    let carts = Carts::new(Faulty::losing_one_in(3, fixture.store(), 0x3e49)).with_options(options);
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let name = format!("member-{n}");
        let (guest, _) = two_carts(fixture, &name).await;
        for _ in 0..4 {
            let (carts, name) = (carts.clone(), name.clone());
            tasks.spawn(async move { carts.merge(&guest, &member(&name)).await.map(|_| ()).unwrap() });
        }
    }
    tasks.join_all().await;
    for n in 0..8 {
        let owner = Owner::Member(member(&format!("member-{n}")));
        assert_eq!(lines(&*fixture.store(), &owner).await, merged());
    }
}
