//! Several relays on one outbox, by a clock that jumps from one wait to the next.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use onceward_reliable_mq::{
    Broker, BrokerCapabilities, Delivery, Envelope, Error, Health, MemoryStore, Message, Outcome, Relay, RelayOptions,
    Store, Subscription, async_trait,
};
use tokio::{sync::Semaphore, task::AbortHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    double::Double,
    message,
    sharing_cases::{first_deliveries, relays_come_and_go_and_share_the_lanes_in_order, shares},
};

const LEASE: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(200);

/// A broker that keeps what has the header `waits` until it may pass.
#[derive(Debug)]
struct Gate {
    broker: Arc<Double>,
    may_pass: Semaphore,
}

#[async_trait]
impl Broker for Gate {
    fn capabilities(&self) -> BrokerCapabilities {
        self.broker.capabilities()
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        if batch.iter().any(|envelope| envelope.header("waits").is_some()) {
            drop(self.may_pass.acquire().await.unwrap());
        }
        self.broker.publish(batch).await
    }

    async fn health(&self) -> Health {
        self.broker.health().await
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        self.broker.subscribe(subscription).await
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        self.broker.routes(topic).await
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        self.broker.receive(queue, max).await
    }
}

struct Running {
    task: AbortHandle,
    stop: CancellationToken,
}

fn begin(store: &Arc<dyn Store>, broker: &Arc<dyn Broker>, name: &str) -> Running {
    let options = RelayOptions::default().with_owner(name).with_lease(LEASE).with_poll(POLL);
    let options = options.with_publish_timeout(Duration::from_secs(3600));
    let relay = Relay::new(Arc::clone(store), Arc::clone(broker), options).unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let stop = stop.clone();
        async move { relay.run(stop).await }
    });
    Running { task: task.abort_handle(), stop }
}

/// How long it took until each had so many.
async fn come_to(store: &Arc<dyn Store>, expected: &[usize]) -> Duration {
    let begun = Instant::now();
    while shares(store).await != expected {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}, not {expected:?}", store.relays().await.unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

fn eight() -> (Arc<dyn Store>, Arc<Double>) {
    (Arc::new(MemoryStore::with_lanes(8)), Double::accepting())
}

async fn epochs(store: &Arc<dyn Store>) -> Vec<i64> {
    store.lanes().await.unwrap().iter().map(|lane| lane.epoch).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_relay_has_its_part_within_a_lease_and_what_ends_is_taken_over_in_time() {
    let (store, broker) = eight();
    let broker: Arc<dyn Broker> = broker;
    let first = begin(&store, &broker, "first");
    assert!(come_to(&store, &[8]).await <= POLL);
    let second = begin(&store, &broker, "second");
    assert!(come_to(&store, &[4, 4]).await < LEASE);
    let _third = begin(&store, &broker, "third");
    assert!(come_to(&store, &[3, 3, 2]).await < LEASE);
    assert_eq!(epochs(&store).await.iter().sum::<i64>(), 8 + 4 + 2, "each lane that moved has moved once");
    first.stop.cancel();
    assert!(come_to(&store, &[4, 4]).await <= POLL * 3, "at once");
    second.task.abort();
    let took = come_to(&store, &[8]).await;
    assert!(took <= LEASE + POLL * 2 && took > LEASE / 2, "when its leases end: {took:?}");
    assert_eq!(store.relays().await.unwrap()[0].owner, "third");
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_before_it_takes_its_part_keeps_it_from_nobody_for_longer_than_a_lease() {
    let (store, broker) = eight();
    let broker: Arc<dyn Broker> = broker;
    let _first = begin(&store, &broker, "first");
    come_to(&store, &[8]).await;
    store.heartbeat("dies", LEASE).await.unwrap();
    let begun = Instant::now();
    come_to(&store, &[4, 0]).await;
    come_to(&store, &[8]).await;
    assert!(begun.elapsed() <= LEASE + POLL, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_once_the_shares_are_fair() {
    let (store, broker) = eight();
    let relayed: Arc<dyn Broker> = broker.clone();
    let _running: Vec<_> = ["a", "b", "c"].map(|name| begin(&store, &relayed, name)).into();
    come_to(&store, &[3, 3, 2]).await;
    let before = epochs(&store).await;
    for n in 0..100 {
        store.enqueue(&[message(Some(&format!("k{n}")), "")]).await.unwrap();
        tokio::time::sleep(LEASE / 2).await;
    }
    assert_eq!((epochs(&store).await, broker.accepted().len()), (before, 100));
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_handed_over_when_its_batch_is_settled() {
    let (store, double) = eight();
    let gate = Arc::new(Gate { broker: double.clone(), may_pass: Semaphore::new(0) });
    let broker: Arc<dyn Broker> = gate.clone();
    let keys: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
    store.enqueue(&keys.iter().map(|key| message(Some(key), "0")).collect::<Vec<_>>()).await.unwrap();
    let _first = begin(&store, &broker, "first");
    come_to(&store, &[8]).await;
    while double.accepted().len() < keys.len() {
        tokio::time::sleep(POLL).await;
    }
    // One of its two workers hangs in the middle of a batch, and the other goes on.
    let place = |envelope: &Envelope| (envelope.key().unwrap().to_owned(), envelope.origin.unwrap().lane);
    let lanes: BTreeMap<String, u32> = double.accepted().iter().map(place).collect();
    let waits = |key: &String| if lanes[key] % 2 == 1 { Some("waits") } else { None };
    let next = |key: &String| {
        let draft = Message::to("topic").key(key);
        waits(key).map_or_else(|| draft.clone(), |name| draft.clone().header(name, "")).text("1").unwrap()
    };
    store.enqueue(&keys.iter().map(next).collect::<Vec<_>>()).await.unwrap();
    store.enqueue(&keys.iter().map(|key| message(Some(key), "2")).collect::<Vec<_>>()).await.unwrap();
    let _second = begin(&store, &broker, "second");
    come_to(&store, &[6, 2]).await;
    let has = async |owner: &str| {
        let relays = store.relays().await.unwrap();
        relays.into_iter().find(|relay| relay.owner == owner).unwrap().lanes
    };
    assert!(has("second").await.iter().all(|lane| lane % 2 == 0), "of the worker that goes on");
    gate.may_pass.add_permits(1);
    come_to(&store, &[4, 4]).await;
    store.enqueue(&keys.iter().map(|key| message(Some(key), "3")).collect::<Vec<_>>()).await.unwrap();
    while double.accepted().len() < keys.len() * 4 {
        tokio::time::sleep(POLL).await;
    }
    let (order, repeats) = first_deliveries(&double.accepted());
    assert!(order.len() == keys.len() && order.values().all(|numbers| *numbers == [0, 1, 2, 3]), "{order:?}");
    assert_eq!(repeats, 0, "nobody lost a lease");
    let half = |lanes: Vec<u32>| lanes.iter().filter(|lane| *lane % 2 == 0).count();
    assert_eq!((half(has("first").await), half(has("second").await)), (2, 2), "both workers have as many");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_back_under_its_name_has_its_lanes_at_once() {
    let (store, broker) = eight();
    let broker: Arc<dyn Broker> = broker;
    let killed = begin(&store, &broker, "a");
    let _other = begin(&store, &broker, "b");
    come_to(&store, &[4, 4]).await;
    let (lanes, before) = (store.relays().await.unwrap()[0].lanes.clone(), epochs(&store).await);
    killed.task.abort();
    let _again = begin(&store, &broker, "a");
    tokio::time::sleep(POLL).await;
    let moved: Vec<u32> =
        (0..).zip(before.iter().zip(epochs(&store).await)).filter(|(_, (a, b))| *a != b).map(|(n, _)| n).collect();
    assert_eq!((&moved, &store.relays().await.unwrap()[0].lanes), (&lanes, &lanes));
}

#[test]
fn relays_come_and_go_and_share_the_lanes_in_order_of_each_key() {
    onceward_backend::conformance::block_on(relays_come_and_go_and_share_the_lanes_in_order(eight().0));
}
