//! What the README says that an operation costs on the wire.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    Db, Dialect,
    internal::{begin, commit},
    sqlx::Pool,
};
use onceward_reliable_mq::{
    Broker, Consumer, ConsumerOptions, Envelope, History, Inbox, MemoryBroker, Message, MessageId, Outbox, Relay,
    RelayOptions, Subscription,
    store::{Budget, Reach, Verdict},
};
use testkit::{CountedPool, Proxy};

const MANY: Budget = Budget { messages: 100, bytes: usize::MAX };

/// Begin, commit, and what lies between.
fn of_mariadb(history: History) -> u64 {
    match history {
        History::Rows => 2 + 2,
        History::Batches => 2 + 3,
        _ => 1,
    }
}

/// Expands to one `#[test]` per case, each on a fresh database of that server.
macro_rules! trips_cases {
    ($server:ident, $database:ty; $($name:ident: $case:ident)*) => {
        $(
            #[test]
            fn $name() {
                onceward_reliable_mq::conformance::block_on(async {
                    let database = testkit::$server::database().await;
                    $crate::trips::$case::<$database>(database.url()).await;
                });
            }
        )*
    };
    ($server:ident, $database:ty) => {
        trips_cases!($server, $database;
            every_operation_costs_the_round_trips_of_the_readme: every_operation
            the_round_trips_of_a_relay_do_not_grow_with_its_batch: relay
            the_round_trips_of_a_consumer_do_not_grow_with_its_batch: consumer
            large_messages_come_over_the_wire_a_few_times_at_most: large_messages
        );
    };
}

pub async fn every_operation<D: Db>(url: &str) {
    let counted = CountedPool::<D>::connect(url).await;
    let (outbox, inbox) = (Outbox::<D>::new(counted.pool().clone()), Inbox::<D>::new(counted.pool().clone()));
    outbox.migrate().await.unwrap();
    let store = outbox.store();
    let mariadb = D::DIALECT == Dialect::MySql;
    let message = Message::to("topic").key("k").text("text").unwrap();
    // The first round prepares the statements.
    for round in 0..2 {
        let trips = |trips: u64, expected: u64, what: &str| {
            assert!(round == 0 || trips == expected, "{what}: {trips} round trips, not {expected}");
        };
        // The caller's begin and commit are two.
        let enqueue = async {
            let mut tx = begin(counted.pool()).await.unwrap();
            outbox.enqueue(&mut tx, &message).await.unwrap();
            commit(tx).await.unwrap();
        };
        trips(counted.trips(enqueue).await.1, 2 + 1, "enqueue");
        let many = async {
            let mut tx = begin(counted.pool()).await.unwrap();
            assert_eq!(outbox.enqueue_all(&mut tx, &vec![message.clone(); 500]).await.unwrap().len(), 500);
            tx.rollback().await.unwrap();
        };
        trips(counted.trips(many).await.1, 2 + 1, "500 enqueued at once");
        let first = async {
            let mut tx = begin(counted.pool()).await.unwrap();
            let id = MessageId::parse(format!("id-{round}")).unwrap();
            assert!(inbox.first_tx(&mut tx, "consumer", &id).await.unwrap());
            commit(tx).await.unwrap();
        };
        trips(counted.trips(first).await.1, 2 + 1, "first_tx");

        let mut lanes = Vec::new();
        for lane in 0..store.capabilities().lanes {
            let (lease, taken) = counted.trips(store.lease(lane, "relay", Duration::from_secs(60))).await;
            trips(taken, 1 + 4, "lease");
            lanes.push(lease.unwrap().unwrap());
        }
        let renewed = counted.trips(store.renew(&lanes[0], Duration::from_secs(60))).await;
        trips(renewed.1, 1, "renew");
        let name = format!("round-{round}");
        let first = counted.trips(store.heartbeat(&name, Duration::from_secs(60))).await;
        trips(first.1, 1 + 4, "a relay that comes");
        let again = counted.trips(store.heartbeat(&name, Duration::from_secs(60))).await;
        trips(again.1, 1, "a relay that lives");
        trips(counted.trips(store.relays()).await.1, 1, "who lives and has what");
        trips(counted.trips(store.leave(&name)).await.1, 1, "a relay that goes");
        trips(counted.trips(store.due(&lanes, MANY)).await.1, 1, "due, nothing in any lane");
        let from: Vec<Reach> = lanes.iter().map(|lease| Reach { lease: lease.clone(), after: 0 }).collect();
        let budget = Budget { messages: 500, bytes: usize::MAX };
        for history in [History::Rows, History::Batches, History::Off] {
            store.enqueue(&vec![message.clone(); 100]).await.unwrap();
            let (queued, fetched) = counted.trips(store.fetch(&from, budget)).await;
            trips(fetched, 1, "fetch of all lanes");
            let queued = queued.unwrap().queued;
            let sent: Vec<_> = queued.iter().map(|queued| (queued, Verdict::Sent)).collect();
            let (settled, cost) = counted.trips(store.settle(&lanes, history, &sent)).await;
            let expected = if mariadb { of_mariadb(history) } else { 1 };
            trips(cost, expected, &format!("settle of {} messages, {history:?}", sent.len()));
            assert!(sent.len() >= 100);
            assert_eq!(settled.unwrap().done, sent.len());
        }
        store.enqueue(std::slice::from_ref(&message)).await.unwrap();
        let refused = Verdict::Retry { after: Duration::ZERO, error: "on purpose".to_owned(), blocks: true };
        for expected in [3 + 3, 3 + 2] {
            let mut queued = store.fetch(&from, budget).await.unwrap().queued;
            queued.extend(store.due(&lanes, MANY).await.unwrap().ready);
            let settle = [(&queued[0], refused.clone())];
            let settle = counted.trips(store.settle(&lanes, History::Rows, &settle)).await;
            trips(settle.1, expected, "settle of a refused message");
        }
        let due = store.due(&lanes, MANY).await.unwrap().ready;
        let sent: Vec<_> = due.iter().map(|queued| (queued, Verdict::Sent)).collect();
        store.settle(&lanes, History::Off, &sent).await.unwrap();
        assert!(store.counts().await.unwrap().is_empty());
    }
}

pub async fn relay<D: Db>(url: &str) {
    for history in [History::Rows, History::Batches, History::Off] {
        let counted = CountedPool::<D>::connect(url).await;
        let outbox = Outbox::<D>::new(counted.pool().clone());
        outbox.migrate().await.unwrap();
        let broker = Arc::new(MemoryBroker::new());
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        // So long that no lease is renewed meanwhile.
        let options = RelayOptions::default().with_lease(Duration::from_secs(3600)).with_history(history);
        let options = options.with_allow_volatile(true).with_owner("relay");
        let relay = Relay::new(outbox.store(), broker, options).unwrap();
        let message = Message::to("topic").text("text").unwrap();
        let mut trips = Vec::new();
        // The first rounds take the leases, prepare the statements and find out how much may be read at once.
        for messages in [100, 100, 100, 100, 100, 1000] {
            outbox.store().enqueue(&vec![message.clone(); messages]).await.unwrap();
            let (step, cost) = counted.trips(relay.step()).await;
            assert_eq!(step.unwrap().sent, messages);
            trips.push(cost);
        }
        let settle = if D::DIALECT == Dialect::MySql { of_mariadb(history) } else { 1 };
        // Each of the two workers, for its four lanes together: what is due, what is new, settle; on PostgreSQL also who writes,
        // at most twenty times a second.
        let look = u64::from(D::DIALECT == Dialect::Postgres);
        let expected = 2 * (2 + settle)..=2 * (2 + look + settle);
        assert!(trips[4..].iter().all(|trips| expected.contains(trips)), "{history:?}: {trips:?}, not {expected:?}");
        assert!(outbox.store().counts().await.unwrap().is_empty());
    }
}

/// Begin, the inbox, commit; and what the handlers do, which is nothing here.
pub async fn consumer<D: Db>(url: &str) {
    const MESSAGES: usize = 10;
    let counted = CountedPool::<D>::connect(url).await;
    let inbox = Inbox::<D>::new(counted.pool().clone());
    inbox.migrate().await.unwrap();
    let broker = Arc::new(MemoryBroker::new());
    let queue = Subscription::new("queue").topic("topic");
    broker.subscribe(&queue).await.unwrap();
    for (batch, expected) in [(1, 3 * MESSAGES), (MESSAGES, 3)] {
        let consumer =
            Consumer::new(Arc::clone(&broker) as Arc<dyn Broker>, queue.clone(), inbox.clone(), async |_, _| Ok(()));
        let consumer = consumer.with_options(ConsumerOptions::default().with_batch(batch));
        // The first rounds prepare the statements, and a batch grows with them.
        for round in 0..3 {
            for n in 0..MESSAGES {
                let id = MessageId::parse(format!("id-{batch}-{round}-{n}")).unwrap();
                broker.publish(&[Envelope::new(id, Message::to("topic").text("").unwrap(), 1)]).await;
            }
            let (consumed, trips) = counted.trips(consumer.drain(Duration::from_secs(10))).await;
            assert_eq!(consumed.unwrap().first, MESSAGES);
            assert!(
                round < 2 || trips == expected as u64,
                "in batches of {batch}: {trips} round trips, not {expected}"
            );
        }
    }
}

/// What a read leaves for its bytes comes over the wire all the same.
pub async fn large_messages<D: Db>(url: &str) {
    const SIZE: usize = 128 * 1024;
    const COUNT: usize = 256;
    let proxy = Proxy::in_front_of(url).await;
    let outbox = Outbox::<D>::new(Pool::connect(proxy.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    let broker = Arc::new(MemoryBroker::new());
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    let options = RelayOptions::default().with_allow_volatile(true).with_batch_bytes(8 * SIZE);
    let relay = Relay::new(outbox.store(), broker, options).unwrap();
    let message = Message::to("topic").payload(vec![0; SIZE]).unwrap();
    for _ in 0..COUNT / 32 {
        outbox.store().enqueue(&vec![message.clone(); 32]).await.unwrap();
    }
    proxy.reset_counts();
    relay.drain(Duration::from_secs(60)).await.unwrap();
    assert!(outbox.store().counts().await.unwrap().is_empty());
    let (_, received) = proxy.bytes();
    let times = received as f64 / (COUNT * SIZE) as f64;
    assert!(times < 4.0, "they came {times:.1} times over the wire");
}
