//! Many at once.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::RetryPolicy;
use tokio::task::JoinSet;

use crate::conformance::{Faulty, Fixture, add, guest, item, named, operation, quantity};
use crate::{CartOptions, Carts, Change, Error, Limits, Store};

const TASKS: u32 = 32;
const EACH: u32 = 10;

pub async fn parallel_adds_all_count(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tasks.spawn(async move {
            for _ in 0..EACH {
                store.apply(&owner, &[add("tea", 1)], &Change::default()).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let cart = store.get(&owner).await.unwrap().unwrap();
    assert_eq!((cart.lines[0].quantity, cart.version), (TASKS * EACH, TASKS * EACH));
}

pub async fn parallel_adds_through_the_service_all_count(fixture: &Fixture) {
    let (store, owner, carts) = (fixture.store(), guest(), fixture.carts());
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (carts, owner) = (carts.clone(), owner.clone());
        tasks.spawn(async move {
            carts.add(&owner, item("tea"), 1).await.unwrap();
            carts.add(&owner, item(&format!("own-{task}")), 1).await.unwrap();
        });
    }
    tasks.join_all().await;
    let cart = store.get(&owner).await.unwrap().unwrap();
    assert_eq!((cart.lines.len(), cart.version), (33, 2 * TASKS));
    assert_eq!(quantity(&*store, &owner, "tea").await, TASKS);
}

pub async fn one_operation_sent_by_many_counts_once(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let change = named(operation(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tasks.spawn(async move { store.apply(&owner, &[add("tea", 1)], &change).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.version == 1));
    assert_eq!(quantity(&*store, &owner, "tea").await, 1);
}

pub async fn one_of_many_wins_an_expected_version(fixture: &Fixture) {
    let (store, owner) = (fixture.store(), guest());
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tasks.spawn(async move {
            let answer = store.apply(&owner, &[add("tea", 1)], &Change::default().with_expect(Some(0))).await;
            match answer {
                Ok(_) => true,
                Err(Error::Conflict { current: 1 }) => false,
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

/// One answer in twenty is lost after the change was made. The service repeats, and every add counts, once.
pub async fn lost_replies_count_once(fixture: &Fixture) {
    let owner = guest();
    let faulty = Faulty::losing_one_in(20, fixture.store(), 0x10_57);
    let carts = Carts::new(Arc::<Faulty>::clone(&faulty)).with_options(patient());
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (carts, owner) = (carts.clone(), owner.clone());
        tasks.spawn(async move {
            for _ in 0..EACH {
                carts.add(&owner, item("tea"), 1).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert!(faulty.applied().values().all(|times| *times == 1));
    assert_eq!(quantity(&*fixture.store(), &owner, "tea").await, TASKS * EACH);
}

pub async fn lost_replies_of_many_processes_never_count_twice(fixture: &Fixture) {
    many_processes(&fixture.store(), EACH, 0x10_58).await;
}

/// 32 services that know nothing of each other add to one cart, `each` times each, and lose one answer in twenty, so that a
/// repeat may come when its operation is forgotten. It is then reported as unknown; no add counts twice, none that was
/// acknowledged is lost.
///
/// # Panics
/// If one does or is.
pub async fn many_processes(store: &Arc<dyn Store>, each: u32, seed: u64) {
    let owner = guest();
    let faulty = Faulty::losing_one_in(20, Arc::clone(store), seed);
    let options = patient().with_limits(Limits::default().with_max_quantity(u32::MAX));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let carts = Carts::new(Arc::<Faulty>::clone(&faulty)).with_options(options);
        let owner = owner.clone();
        tasks.spawn(async move {
            let mut unknown = 0;
            for _ in 0..each {
                match carts.add(&owner, item("tea"), 1).await {
                    Ok(_) => {}
                    Err(error) if error.is_outcome_unknown() => unknown += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            unknown
        });
    }
    let unknown: u32 = tasks.join_all().await.into_iter().sum();
    let (applied, all) = (faulty.applied(), TASKS * each);
    assert!(applied.values().all(|times| *times == 1), "an add counted twice, seed {seed}");
    let there = quantity(&**store, &owner, "tea").await;
    assert_eq!(there as usize, applied.len(), "seed {seed}");
    assert!((all - unknown..=all).contains(&there), "{there} of {all}, {unknown} unknown, seed {seed}");
    println!("{all} adds of 32 processes, one answer in 20 lost: {there} counted, {unknown} reported as unknown");
}

fn patient() -> CartOptions {
    let retry = RetryPolicy::exponential().with_base(Duration::from_millis(2)).with_max(Duration::from_millis(20));
    CartOptions::default().with_retry(retry.with_attempts(20))
}
