//! Relays that come and go while messages come, on one outbox.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use onceward_reliable_mq::{Broker, Envelope, Message, Relay, RelayOptions, Store};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::double::{Double, text};

const SOON: Duration = Duration::from_secs(60);
const PRODUCERS: usize = 4;
const KEYS: usize = 8;

/// How many lanes each relay has that lives, the most first.
pub async fn shares(store: &Arc<dyn Store>) -> Vec<usize> {
    let mut shares: Vec<usize> = store.relays().await.unwrap().iter().map(|relay| relay.lanes.len()).collect();
    shares.sort_by_key(|lanes| std::cmp::Reverse(*lanes));
    shares
}

async fn come_to(store: &Arc<dyn Store>, expected: &[usize]) {
    testkit::eventually(SOON, async || {
        let shares = shares(store).await;
        if shares == expected { Ok(()) } else { Err(format!("{shares:?}, not {expected:?}")) }
    })
    .await;
}

/// Numbered messages of each key, until told to stop; answers how many of each.
async fn produce(store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) -> usize {
    let mut producers = JoinSet::new();
    let stopped = stop.clone();
    for producer in 0..PRODUCERS {
        let (store, stopped) = (Arc::clone(&store), stopped.clone());
        producers.spawn(async move {
            let mut n = 0;
            while !*stopped.borrow() {
                let message = |key| Message::to("topic").key(format!("{producer}-{key}")).text(n.to_string()).unwrap();
                store.enqueue(&(0..KEYS).map(message).collect::<Vec<_>>()).await.unwrap();
                n += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            n
        });
    }
    let _ = stop.changed().await;
    producers.join_all().await.into_iter().sum::<usize>() * KEYS
}

/// The numbers of each key by the first time that they came, and how many came again.
pub fn first_deliveries(accepted: &[Envelope]) -> (BTreeMap<String, Vec<usize>>, usize) {
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

pub async fn relays_come_and_go_and_share_the_lanes_in_order(store: Arc<dyn Store>) {
    let broker = Double::accepting();
    let options = RelayOptions::default().with_lease(Duration::from_secs(3)).with_poll(Duration::from_millis(20));
    let options = options.with_batch(20);
    let mut running = JoinSet::new();
    let mut begin = || {
        let to = Arc::clone(&broker) as Arc<dyn Broker>;
        let relay = Relay::new(Arc::clone(&store), to, options.clone()).unwrap();
        let stop = CancellationToken::new();
        let task = running.spawn({
            let stop = stop.clone();
            async move { relay.run(stop).await }
        });
        (task, stop)
    };
    let (end, ended) = watch::channel(false);
    let mut load = JoinSet::from_iter([produce(Arc::clone(&store), ended)]);
    let _first = begin();
    come_to(&store, &[8]).await;
    let (_, second) = begin();
    come_to(&store, &[4, 4]).await;
    let (third, _) = begin();
    come_to(&store, &[3, 3, 2]).await;
    second.cancel();
    come_to(&store, &[4, 4]).await;
    let (_, before_the_kill) = first_deliveries(&broker.accepted());
    third.abort();
    come_to(&store, &[8]).await;
    end.send(true).unwrap();
    let sent = load.join_next().await.unwrap().unwrap();
    testkit::eventually(SOON, async || {
        let counts = store.counts().await.unwrap();
        if counts.is_empty() { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    running.shutdown().await;
    let (order, repeats) = first_deliveries(&broker.accepted());
    assert_eq!(order.values().map(Vec::len).sum::<usize>(), sent, "nothing is lost");
    for (key, numbers) in &order {
        assert!(numbers.iter().copied().eq(0..numbers.len()), "first deliveries of {key}: {numbers:?}");
    }
    println!("{sent} messages, {repeats} repeats, {before_the_kill} of them before a relay was killed");
}
