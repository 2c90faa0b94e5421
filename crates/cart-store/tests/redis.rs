//! The contract, on carts in Redis, and what only Redis has: size and encoding.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "these are tests: a panic is the report"
)]

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::{Redis, redis};
use onceward_cart_store::conformance::cases::model::against_the_model;
use onceward_cart_store::conformance::cases::races::many_processes;
use onceward_cart_store::conformance::{Fixture, block_on};
use onceward_cart_store::store::RedisStore;
use onceward_cart_store::{
    Bought, Carts, Change, Command, GuestId, Item, LineKey, MemberId, MergeId, MergeTtl, Operation, OperationId,
    OrderId, Owner, PriceHint, Sku, Store,
};

/// In few partitions, since listing merges asks each.
async fn store(prefix: &testkit::redis::Prefix) -> (RedisStore, Redis) {
    let redis = Redis::connect(prefix.url()).await.unwrap().with_prefix(prefix.as_str());
    (RedisStore::new(redis.clone()).with_partitions(8), redis)
}

onceward_cart_store::conformance!(async || {
    let prefix = testkit::redis::prefix();
    let (store, _) = store(&prefix).await;
    Fixture::new(store).with_guard(prefix)
});

fn priced(n: usize) -> Command {
    let hint = PriceHint { amount: 129_900, currency: *b"EUR" };
    Command::Add { item: Item::new(Sku::new(format!("sku-{n:04}")).unwrap()).with_price_hint(hint), delta: 2 }
}

async fn keys(redis: &Redis, pattern: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(redis.key(pattern)).arg("COUNT").arg(1_000);
        let (next, found): (u64, Vec<String>) = redis.command(&scan).await.unwrap();
        keys.extend(found);
        cursor = next;
        if cursor == 0 {
            return keys;
        }
    }
}

async fn ask<T: redis::FromRedisValue>(redis: &Redis, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    redis.command(&command).await.unwrap()
}

/// Six operations of 16 bytes, or one more field, would turn the compact hash into a table three times as large.
#[test]
fn a_cart_of_five_lines_with_its_operations_takes_at_most_400_bytes() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (_, redis) = store(&prefix).await;
        let store = RedisStore::new(redis.clone());
        let owner = Owner::from(GuestId::random());
        let ttl = Some(Duration::from_hours(24 * 30));
        for n in 0..10 {
            let operation = Operation { id: OperationId::random(), seen_version: u32::try_from(n).unwrap() };
            let change = Change::default().with_operation(Some(operation)).with_ttl(ttl);
            store.apply(&owner, &[priced(n % 5)], &change).await.unwrap();
        }
        assert_eq!(store.get(&owner).await.unwrap().unwrap().lines.len(), 5);
        let found = keys(&redis, "cart:*").await;
        let bytes: u64 = ask(&redis, &["MEMORY", "USAGE", &found[0], "SAMPLES", "0"]).await;
        println!("a cart of five priced lines with six operations: {bytes} bytes, key of {}", found[0].len());
        assert_eq!(ask::<u64>(&redis, &["HLEN", &found[0]]).await, 6);
        assert_eq!(ask::<String>(&redis, &["OBJECT", "ENCODING", &found[0]]).await, "listpack");
        assert!(bytes <= 400, "{bytes}");
    });
}

#[test]
fn a_cart_of_two_hundred_lines_stays_compact() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (store, redis) = store(&prefix).await;
        let owner = Owner::from(GuestId::random());
        let batch: Vec<_> = (0..200).map(priced).collect();
        store.apply(&owner, &batch, &Change::default()).await.unwrap();
        let found = keys(&redis, "cart:*").await;
        assert_eq!(found.len(), 1);
        assert_eq!(ask::<String>(&redis, &["OBJECT", "ENCODING", &found[0]]).await, "listpack");
    });
}

#[test]
fn all_keys_of_a_cart_lie_in_one_slot_and_deleting_leaves_none() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (store, redis) = store(&prefix).await;
        let (guest, member) = (GuestId::random(), MemberId::new("ann").unwrap());
        store.apply(&guest.into(), &[priced(1)], &Change::default()).await.unwrap();
        let order = OrderId::new("1").unwrap();
        let tea = [Bought::new(LineKey::new("tea").unwrap(), 1)];
        store.take(&guest.into(), &order, &tea, Duration::from_hours(1)).await.unwrap();
        store.seal(&guest, &member, MergeId::random(), MergeTtl::default()).await.unwrap();
        let found = keys(&redis, "*").await;
        assert_eq!(found.len(), 3, "{found:?}");
        let tag = |key: &String| key[key.find('{').unwrap()..=key.find('}').unwrap()].to_owned();
        assert!(found.iter().all(|key| tag(key) == tag(&found[0])), "{found:?}");
        assert!(store.delete(&guest.into()).await.unwrap());
        assert_eq!(keys(&redis, "*").await, Vec::<String>::new());
    });
}

#[test]
fn sealed_carts_live_seven_days_and_tombstones_one() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (store, redis) = store(&prefix).await;
        let (guest, member, merge) = (GuestId::random(), MemberId::new("ann").unwrap(), MergeId::random());
        store.apply(&guest.into(), &[priced(1)], &Change::default()).await.unwrap();
        let found = keys(&redis, "cart:*").await;
        assert_eq!(ask::<i64>(&redis, &["TTL", &found[0]]).await, -1);
        let ttl = MergeTtl::default();
        let lines = store.seal(&guest, &member, merge, ttl).await.unwrap().lines;
        let day = 86_400;
        assert!((7 * day - 5..=7 * day).contains(&ask::<i64>(&redis, &["TTL", &found[0]]).await));
        store.tombstone(&guest, merge, ttl.tombstoned).await.unwrap();
        assert!((day - 5..=day).contains(&ask::<i64>(&redis, &["TTL", &found[0]]).await));
        // The packed lines are still there, for a second absorb.
        assert_eq!(store.seal(&guest, &member, merge, ttl).await.unwrap().lines, lines);
    });
}

#[test]
fn bytes_of_another_program_are_an_error_of_their_own() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (store, redis) = store(&prefix).await;
        let owner = Owner::from(GuestId::random());
        for (field, value) in [("\u{1}", "\u{19}later"), ("sku-0001", "?")] {
            store.delete(&owner).await.unwrap();
            store.apply(&owner, &[priced(1)], &Change::default()).await.unwrap();
            let found = keys(&redis, "cart:*").await;
            let _: i64 = ask(&redis, &["HSET", &found[0], field, value]).await;
            for error in [
                store.get(&owner).await.unwrap_err(),
                store.apply(&owner, &[priced(1)], &Change::default()).await.unwrap_err(),
            ] {
                assert!(error.to_string().contains("unreadable"), "{error:?}");
            }
        }
    });
}

#[test]
fn random_batches_give_what_the_model_gives_at_scale() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (store, _) = store(&prefix).await;
        let seed = testkit::seed();
        for n in 0..20 * testkit::scale() as u64 {
            against_the_model(&store, seed.wrapping_add(n), 60).await;
        }
    });
}

/// The answer to an add is lost on the wire, after Redis applied it. The service sends the same operation again.
#[test]
fn an_add_whose_answer_the_wire_lost_counts_once() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let proxy = testkit::Proxy::in_front_of(prefix.url()).await;
        let redis = Redis::connect(proxy.url()).await.unwrap().with_prefix(prefix.as_str());
        let carts = Carts::new(Arc::new(RedisStore::new(redis)));
        let owner = Owner::from(GuestId::random());
        let tea = || Sku::new("tea").unwrap();
        carts.add(&owner, tea(), 1).await.unwrap();
        proxy.set(testkit::Mode::DropReplyTo(b"EVALSHA".to_vec()));
        carts.add(&owner, tea(), 1).await.unwrap();
        let cart = carts.get(&owner).await.unwrap();
        assert_eq!((cart.lines[0].quantity, cart.version), (2, 2));
        assert!(proxy.connections() > 1, "the wire was not cut");
    });
}

/// Without an operation nobody could tell a repeat from a second add.
#[test]
fn an_unnamed_add_whose_answer_the_wire_lost_is_not_sent_again() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let proxy = testkit::Proxy::in_front_of(prefix.url()).await;
        let redis = Redis::connect(proxy.url()).await.unwrap().with_prefix(prefix.as_str());
        let store = RedisStore::new(redis);
        let owner = Owner::from(GuestId::random());
        store.apply(&owner, &[priced(1)], &Change::default()).await.unwrap();
        proxy.set(testkit::Mode::DropReplyTo(b"EVALSHA".to_vec()));
        let lost = store.apply(&owner, &[priced(1)], &Change::default()).await.unwrap_err();
        assert!(lost.is_outcome_unknown() && !lost.is_retryable(), "{lost:?}");
        assert_eq!(store.get(&owner).await.unwrap().unwrap().version, 2);
    });
}

#[test]
fn marks_are_kept_as_long_as_they_live_and_no_longer() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let (store, redis) = store(&prefix).await;
        let owner = Owner::from(GuestId::random());
        let tea = [Bought::new(LineKey::new("tea").unwrap(), 1)];
        let (short, long) = (Duration::from_secs(1), Duration::from_hours(1));
        let take = async |n: u32, ttl| {
            store.take(&owner, &OrderId::new(n.to_string()).unwrap(), &tea, ttl).await.unwrap().replayed
        };
        for n in 0..40 {
            assert!(!take(n, if n < 20 { long } else { short }).await);
        }
        let marks = keys(&redis, "cartmark:*").await;
        assert_eq!(ask::<u64>(&redis, &["HLEN", &marks[0]]).await, 40);
        tokio::time::sleep(2 * short).await;
        // The next one clears what has expired; the rest is remembered.
        assert!(!take(40, short).await);
        assert_eq!(ask::<u64>(&redis, &["HLEN", &marks[0]]).await, 21);
        assert!((3_500..=3_600).contains(&ask::<i64>(&redis, &["TTL", &marks[0]]).await));
        for n in 0..20 {
            assert!(take(n, long).await, "{n}");
        }
    });
}

#[test]
fn every_operation_costs_the_round_trips_of_the_readme() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let proxy = testkit::Proxy::in_front_of(prefix.url()).await;
        let redis = Redis::connect(proxy.url()).await.unwrap().with_prefix(prefix.as_str());
        let store = RedisStore::new(redis).with_partitions(8);
        let carts = Carts::new(Arc::new(store.clone()));
        let ann = MemberId::new("ann").unwrap();
        // In the first round the server learns the scripts.
        for round in 0..2 {
            let trips = |expected: u64, what: &str| {
                let trips = proxy.round_trips();
                assert!(round == 0 || trips == expected, "{what}: {trips} round trips, not {expected}");
                proxy.reset_counts();
            };
            let (guest, empty) = (GuestId::random(), GuestId::random());
            let owner = Owner::from(guest);
            proxy.reset_counts();
            carts.get(&owner).await.unwrap();
            trips(1, "get");
            for n in 0..20 {
                store.apply(&owner, &[priced(n)], &Change::default()).await.unwrap();
            }
            trips(20, "20 times apply");
            carts.merge(&guest, &ann).await.unwrap();
            trips(3, "merge of 20 lines");
            carts.merge(&empty, &ann).await.unwrap();
            trips(1, "merge of nothing");
            let bought = [Bought::new(LineKey::new("sku-0001").unwrap(), 1)];
            carts.take(&ann.clone().into(), &OrderId::new(format!("order-{round}")).unwrap(), &bought).await.unwrap();
            trips(1, "take");
            carts.finish_merges().await.unwrap();
            trips(8, "finish_merges of 8 partitions");
            let tea = Sku::new("tea").unwrap();
            let fresh = Owner::from(GuestId::random());
            carts.add(&fresh, tea, 1).await.unwrap();
            trips(1, "add to a young cart");
        }
    });
}

#[test]
fn adds_of_many_processes_never_count_twice_at_scale() {
    block_on(async {
        let prefix = testkit::redis::prefix();
        let store: Arc<dyn Store> = Arc::new(store(&prefix).await.0);
        let each = 40 * u32::try_from(testkit::scale()).unwrap();
        many_processes(&store, each, testkit::seed()).await;
    });
}
