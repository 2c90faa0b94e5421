//! The server of a broker is killed, stopped and started again. The program says in `Space` which server that is; it is one of its
//! own, since everything else at that server feels it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_backend::{
    RetryPolicy,
    conformance::block_on,
    sqlite,
    sqlx::{Sqlite, SqlitePool},
};
use onceward_reliable_mq::{
    Broker, Envelope, Health, Message, MessageId, Outbox, Outcome, Relay, RelayOptions, Status, Subscription,
};

use crate::Space;

pub const WHILE: Duration = Duration::from_secs(30);

pub fn envelope(text: &str) -> Envelope {
    let id = MessageId::parse(format!("id-{text}")).unwrap();
    Envelope::new(id, Message::to("topic").text(text).unwrap(), 1)
}

/// Soon, since the server is away on purpose.
pub fn reconnect() -> RetryPolicy {
    RetryPolicy::exponential().with_base(Duration::from_millis(10)).with_max(Duration::from_millis(100))
}

pub async fn subscribed(space: &Space, visibility: Duration) -> Arc<dyn Broker> {
    let broker = space.broker(visibility);
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    broker
}

pub async fn up(broker: &dyn Broker) {
    testkit::eventually(WHILE, async || match broker.health().await {
        Health::Up => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// What can be had from the queue.
pub async fn all(broker: &dyn Broker) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while broker.depth("queue").await.unwrap().open() > 0 {
        for delivery in broker.receive("queue", 100).await.unwrap() {
            found.insert(delivery.envelope().id.to_string());
            delivery.ack().await.unwrap();
        }
    }
    found
}

/// A service with its outbox and a relay.
pub struct Service {
    pool: SqlitePool,
    outbox: Outbox<Sqlite>,
    pub relay: Relay,
}

impl Service {
    pub async fn new(broker: &Arc<dyn Broker>) -> Self {
        let pool = sqlite::memory().await.unwrap();
        let outbox = Outbox::<Sqlite>::new(pool.clone());
        outbox.migrate().await.unwrap();
        let at_once = RetryPolicy::exponential().with_base(Duration::from_millis(1));
        let options = RelayOptions::default().with_retry(at_once.with_attempts(2)).with_outage(at_once);
        let relay = Relay::new(outbox.store(), Arc::clone(broker), options).unwrap();
        Self { pool, outbox, relay }
    }

    pub async fn enqueue(&self, text: &str) {
        let mut tx = self.pool.begin().await.unwrap();
        self.outbox.enqueue(&mut tx, &Message::to("topic").text(text).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Until all is sent, each message at its first attempt.
    pub async fn drain(&self) {
        let counts = self.relay.drain(WHILE).await.unwrap();
        assert!(counts.is_empty(), "{counts:?}");
        let log = self.outbox.store().log(10).await.unwrap();
        assert!(log.iter().all(|row| (row.status, row.attempts) == (Status::Sent, 1)), "{log:?}");
    }
}

#[test]
fn a_server_that_is_killed_under_load_has_everything_that_it_accepted() {
    block_on(async {
        let mut space = Space::fresh().await;
        let broker = subscribed(&space, Duration::from_secs(2)).await;
        for round in 0..3 * testkit::scale() {
            space.harden().await;
            let (done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
            let load = async {
                let (mut accepted, mut n) = (BTreeSet::new(), 0);
                while !done.load(Ordering::SeqCst) {
                    let batch: Vec<Envelope> = (n..n + 20).map(|n| envelope(&format!("{round}-{n}"))).collect();
                    n += 20;
                    for (envelope, outcome) in batch.iter().zip(broker.publish(&batch).await) {
                        match outcome {
                            Outcome::Accepted => {
                                accepted.insert(envelope.id.to_string());
                                count.store(accepted.len(), Ordering::SeqCst);
                            }
                            Outcome::Unknown { .. } => {}
                            other => panic!("{other:?}: the server is away, and nothing else"),
                        }
                    }
                    tokio::task::yield_now().await;
                }
                accepted
            };
            let kill = async {
                testkit::eventually(WHILE, async || match count.load(Ordering::SeqCst) {
                    200.. => Ok(()),
                    n => Err(format!("{n} accepted")),
                })
                .await;
                space.service.kill().await;
                assert!(matches!(broker.health().await, Health::Down(_)));
                done.store(true, Ordering::SeqCst);
                space.service.start().await;
            };
            let (accepted, ()) = tokio::join!(load, kill);
            up(&*broker).await;
            let found = all(&*broker).await;
            let lost: Vec<&String> = accepted.difference(&found).collect();
            println!("round {round}: {} accepted, {} found", accepted.len(), found.len());
            assert!(lost.is_empty(), "{lost:?}");
        }
    });
}

#[test]
fn deliveries_counts_and_delays_survive_a_restart() {
    block_on(async {
        let mut space = Space::fresh().await;
        let broker = subscribed(&space, Duration::from_secs(2)).await;
        broker.publish(&["a", "b", "c", "d"].map(envelope)).await;
        let mut held = broker.receive("queue", 4).await.unwrap();
        held.pop().unwrap().reject("no good").await.unwrap();
        held.pop().unwrap().retry(Duration::from_secs(3600), "later").await.unwrap();
        held.pop().unwrap().retry(Duration::from_millis(10), "soon").await.unwrap();
        space.service.stop().await;
        space.service.start().await;
        up(&*broker).await;
        let found = Mutex::new(Vec::new());
        testkit::eventually(WHILE, async || {
            for delivery in broker.receive("queue", 10).await.unwrap() {
                found.lock().unwrap().push((delivery.envelope().id.to_string(), delivery.failures()));
                delivery.ack().await.unwrap();
            }
            match found.lock().unwrap().len() {
                2 => Ok(()),
                n => Err(format!("{n} of 2")),
            }
        })
        .await;
        let mut found = found.into_inner().unwrap();
        found.sort();
        assert_eq!(found, [("id-a".to_owned(), 0), ("id-b".to_owned(), 1)], "one was in hand, one had failed");
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.ready, depth.open(), depth.dead), (0, 1, 1), "one waits for its time, one is dead");
        assert_eq!(broker.dead("queue", 10).await.unwrap()[0].reason, "no good");
    });
}

#[test]
fn a_relay_waits_for_the_server_spends_nothing_and_repeats_nothing() {
    block_on(async {
        let mut space = Space::fresh().await;
        space.harden().await;
        let broker = subscribed(&space, WHILE).await;
        let service = Service::new(&broker).await;
        service.enqueue("before").await;
        service.drain().await;
        space.service.kill().await;
        service.enqueue("while").await;
        for _ in 0..20 {
            service.relay.step().await.unwrap();
        }
        space.service.start().await;
        service.drain().await;
        assert_eq!(all(&*broker).await.len(), 2);
    });
}
