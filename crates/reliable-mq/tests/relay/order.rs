//! Order per key, with several relays and producers at once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Envelope, Outcome, Relay, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    double::{Double, rejected, text, unknown},
    message, options, stores,
};

/// What first reached the broker per key, and how many repeats there were.
fn first_deliveries(accepted: &[Envelope]) -> (BTreeMap<String, Vec<usize>>, usize) {
    let (mut seen, mut order, mut repeats) = (HashSet::new(), BTreeMap::<String, Vec<usize>>::new(), 0);
    for envelope in accepted {
        if seen.insert(envelope.id.clone()) {
            order.entry(envelope.key().unwrap().to_owned()).or_default().push(text(envelope).parse().unwrap());
        } else {
            repeats += 1;
        }
    }
    (order, repeats)
}

fn assert_in_order(order: &BTreeMap<String, Vec<usize>>, keys: usize, each: usize) {
    assert_eq!(order.len(), keys);
    for (key, numbers) in order {
        assert_eq!(*numbers, (0..each).collect::<Vec<_>>(), "first deliveries of {key}");
    }
}

async fn produce(store: Arc<dyn Store>, producers: usize, each: usize) {
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for n in 0..each {
                store.enqueue(&[message(Some(&format!("k{producer}")), &n.to_string())]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[test]
fn of_32_producers_and_2_relays_nothing_is_lost_and_keys_keep_their_order() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::accepting();
            let stop = CancellationToken::new();
            let mut relays = JoinSet::new();
            for _ in 0..2 {
                let relay = Relay::new(Arc::clone(&store), broker.clone(), options(12).with_batch(7)).unwrap();
                let stop = stop.clone();
                relays.spawn(async move { relay.run(stop).await });
            }
            produce(Arc::clone(&store), 32, 15).await;
            testkit::eventually(Duration::from_secs(20), async || {
                let counts = store.counts().await.unwrap();
                if counts.is_empty() { Ok(()) } else { Err(format!("{counts:?}")) }
            })
            .await;
            stop.cancel();
            relays.join_all().await;
            let (order, repeats) = first_deliveries(&broker.accepted());
            assert_in_order(&order, 32, 15);
            assert_eq!(repeats, 0, "nobody lost a lease, so nobody repeated");
        }
    });
}

#[test]
fn keys_keep_their_order_while_messages_fail_at_random() {
    block_on(async {
        for (store, _guard) in stores().await {
            let random = Mutex::new(testkit::Rng::new(testkit::seed()));
            let broker = Double::new(move |_, _| match random.lock().unwrap().below(10) {
                0..2 => rejected(),
                2 => unknown(),
                3 => Outcome::Unroutable,
                _ => Outcome::Accepted,
            });
            produce(Arc::clone(&store), 8, 20).await;
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(10_000).with_batch(5)).unwrap();
            let left = relay.drain(Duration::from_secs(20)).await.unwrap();
            assert!(left.is_empty(), "{left:?}");
            assert_in_order(&first_deliveries(&broker.accepted()).0, 8, 20);
        }
    });
}

#[test]
fn a_failing_key_does_not_hold_up_other_keys() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker =
                Double::new(|envelope, _| if envelope.key() == Some("bad") { rejected() } else { Outcome::Accepted });
            let slow = onceward_backend::RetryPolicy::exponential()
                .with_base(Duration::from_secs(3600))
                .with_max(Duration::from_secs(3600));
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(12).with_retry(slow)).unwrap();
            for n in 0..3 {
                let text = n.to_string();
                store.enqueue(&[message(Some("bad"), &text), message(Some("good"), &text)]).await.unwrap();
            }
            relay.step().await.unwrap();
            assert_eq!(broker.texts(), ["0", "1", "2"]);
            let counts = store.counts().await.unwrap();
            assert_eq!((counts.hot, counts.failed), (2, 1), "the first of the bad key waits, the others behind it");
        }
    });
}

#[test]
fn a_relay_that_slept_through_its_lease_makes_repeats_and_no_loss() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::accepting();
            let sleepy =
                Relay::new(Arc::clone(&store), broker.clone(), options(12).with_owner("r").with_batch(4)).unwrap();
            produce(Arc::clone(&store), 4, 10).await;
            sleepy.step().await.unwrap();
            // Under its name another takes the lanes, as after a pause that outlasted the lease.
            let other = Relay::new(Arc::clone(&store), broker.clone(), options(12).with_owner("r")).unwrap();
            other.step().await.unwrap();
            let (left, also) =
                tokio::join!(sleepy.drain(Duration::from_secs(20)), other.drain(Duration::from_secs(20)));
            assert!(left.unwrap().is_empty() && also.unwrap().is_empty());
            let (order, repeats) = first_deliveries(&broker.accepted());
            assert_in_order(&order, 4, 10);
            println!("{repeats} repeats");
        }
    });
}
