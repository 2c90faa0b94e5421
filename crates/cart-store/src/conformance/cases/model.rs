//! Random changes, on the store and on the pure model: the same answers and the same cart.
#![allow(missing_docs, reason = "the names say it")]

use std::fmt::Debug;
use std::time::Duration;

use crate::conformance::{Fixture, Random, add, bought, guest, item, key, member, order};
use crate::{
    Absorb, Cart, Change, Command, Error, GuestId, Limits, Line, MergeId, OnExcess, Operation, OperationId, Owner,
    PriceHint, Record, Store,
};

const SEEDS: u64 = 12;
const STEPS: u32 = 40;
const LONG: Duration = Duration::from_hours(1);

pub async fn random_batches_give_what_the_model_gives(fixture: &Fixture) {
    for seed in 0..SEEDS {
        against_the_model(&*fixture.store(), seed, STEPS).await;
    }
}

/// Drives `store` and the model with `steps` random batches.
///
/// # Panics
/// Where they differ.
pub async fn against_the_model(store: &dyn Store, seed: u64, steps: u32) {
    let (mut random, owner) = (Random::new(seed), guest());
    let mut model = Record::default();
    let mut operations: Vec<Operation> = Vec::new();
    for step in 0..steps {
        let place = format!("seed {seed}, step {step}");
        if random.below(8) == 0 {
            let lines = bought(&[(pick(&mut random), random.below(9)), (pick(&mut random), random.below(9))]);
            let stored = store.take(&owner, &order(&step.to_string()), &lines, LONG).await;
            same(&stored, &model.take(&lines), &place);
            continue;
        }
        let batch: Vec<_> = (0..random.below(6)).map(|_| command(&mut random)).collect();
        let expect = (random.below(6) == 0).then(|| version(&model).saturating_sub(random.below(2)));
        let operation = match random.below(4) {
            0 => None,
            1 if !operations.is_empty() => {
                let back = random.below(9).min(u32::try_from(operations.len()).unwrap() - 1);
                Some(operations[operations.len() - 1 - back as usize])
            }
            _ => {
                let seen_version = (version(&model) + 1).saturating_sub(random.below(12));
                Some(Operation { id: OperationId::of(&place), seen_version })
            }
        };
        operations.extend(operation);
        let change = Change::default().with_limits(limits(&mut random)).with_expect(expect).with_operation(operation);
        let stored = store.apply(&owner, &batch, &change).await;
        same(&stored, &model.apply(&batch, &change, u64::from(step)), &place);
        let cart = store.get(&owner).await.unwrap().unwrap_or_else(|| Cart::empty(owner.clone()));
        same_cart(&cart, &model.cart(owner.clone()), &place);
    }
}

pub async fn random_merges_give_what_the_model_gives(fixture: &Fixture) {
    let store = fixture.store();
    if fixture.cannot_merge() {
        return;
    }
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let member = member(&format!("member-{seed}"));
        let owner = Owner::Member(member.clone());
        let mut model = Record::default();
        for step in 0..6 {
            let place = format!("seed {seed}, merge {step}");
            let own: Vec<_> = (0..random.below(6)).map(|_| command(&mut random)).collect();
            let change = Change::default();
            same(&store.apply(&owner, &own, &change).await, &model.apply(&own, &change, 0), &place);

            let (guest, mut guest_model) = (GuestId::random(), Record::default());
            let batch: Vec<_> = (0..random.below(7)).map(|_| command(&mut random)).collect();
            let stored = store.apply(&guest.into(), &batch, &change).await;
            same(&stored, &guest_model.apply(&batch, &change, 0), &place);

            let merge = MergeId::random();
            let sealing = store.seal(&guest, &member, merge, crate::MergeTtl::default()).await.unwrap();
            let of_model = guest_model.seal(&member, merge, 0).unwrap();
            assert_eq!((sealing.merge, sealing.stage), (of_model.merge, of_model.stage), "{place}");
            assert_eq!(plain(&sealing.lines), plain(&of_model.lines), "{place}");

            // In one order on both sides: times differ, and with them who claims the last room.
            let limits = limits(&mut random);
            let report = store.absorb(&member, &sealing.lines, &Absorb::new(merge, limits, LONG)).await;
            same(&report, &model.absorb(&sealing.lines, &limits), &place);
            store.tombstone(&guest, merge, LONG).await.unwrap();
            let cart = store.get(&owner).await.unwrap().unwrap_or_else(|| Cart::empty(owner.clone()));
            same_cart(&cart, &model.cart(owner.clone()), &place);
        }
    }
}

const SKUS: [&str; 7] = ["tea", "cup", "pot", "茶", "a", "b", "c"];

fn pick(random: &mut Random) -> &'static str {
    SKUS[random.below(7) as usize]
}

fn small(random: &mut Random) -> i32 {
    i32::try_from(random.below(8)).unwrap()
}

fn version(model: &Record) -> u32 {
    model.cart(Owner::Guest(GuestId::random())).version
}

fn limits(random: &mut Random) -> Limits {
    let policy = if random.below(2) == 0 { OnExcess::Reject } else { OnExcess::Clamp };
    Limits::default().with_max_quantity(random.below(12)).with_max_lines(2 + random.below(6)).with_on_excess(policy)
}

fn command(random: &mut Random) -> Command {
    let sku = pick(random);
    let delta = match random.below(20) {
        0 => 0,
        1 => i32::MAX,
        2 => i32::MIN,
        n if n < 6 => -1 - small(random),
        _ => 1 + small(random),
    };
    match random.below(16) {
        0 => Command::Clear,
        1 => Command::Remove { key: key(sku) },
        2 => Command::CheckAll { checked: random.below(2) == 0 },
        3 | 4 => Command::Check { key: key(sku), checked: random.below(2) == 0 },
        5 | 6 => Command::Set { key: key(sku), quantity: random.below(14) },
        7 => Command::Set { key: key(sku), quantity: u32::MAX - random.below(2) },
        8 => {
            let hint = PriceHint { amount: -i64::from(random.below(3)), currency: *b"EUR" };
            Command::Add { item: item(sku).with_price_hint(hint), delta }
        }
        _ => add(sku, delta),
    }
}

fn same<T: Debug + PartialEq>(stored: &Result<T, Error>, model: &Result<T, Error>, place: &str) {
    assert_eq!(format!("{stored:?}"), format!("{model:?}"), "{place}");
}

fn same_cart(stored: &Cart, model: &Cart, place: &str) {
    assert_eq!(stored.version, model.version, "{place}");
    assert_eq!(plain(&stored.lines), plain(&model.lines), "{place}");
}

/// Lines without their times, sorted by key.
fn plain(lines: &[Line]) -> Vec<Line> {
    let mut lines = lines.to_vec();
    lines.iter_mut().for_each(|line| line.added_at = 0);
    lines.sort_by(|a, b| a.key.cmp(&b.key));
    lines
}
