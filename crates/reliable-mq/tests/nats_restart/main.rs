//! NATS is killed, stopped and started again. A program of its own, since everything else at that server feels it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test program")]

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
    Broker, Envelope, Health, Message, MessageId, NatsBroker, NatsOptions, Outbox, Outcome, Relay, RelayOptions,
    Status, Subscription,
};
use testkit::{Lent, Service};

const WHILE: Duration = Duration::from_secs(30);

fn envelope(text: &str) -> Envelope {
    let id = MessageId::parse(format!("id-{text}")).unwrap();
    Envelope::new(id, Message::to("topic").text(text).unwrap(), 1)
}

async fn broker(visibility: Duration) -> (NatsBroker, Lent) {
    let prefix = testkit::nats::prefix().await;
    let reconnect = RetryPolicy::exponential().with_base(Duration::from_millis(10));
    let reconnect = reconnect.with_max(Duration::from_millis(100));
    let options = NatsOptions::default().with_prefix(prefix.name()).with_visibility(visibility);
    let broker = NatsBroker::new(prefix.url(), options.with_reconnect(reconnect)).unwrap();
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    (broker, prefix)
}

async fn up(broker: &NatsBroker) {
    testkit::eventually(WHILE, async || match broker.health().await {
        Health::Up => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn all(broker: &NatsBroker) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while broker.depth("queue").await.unwrap().open() > 0 {
        for delivery in broker.receive("queue", 100).await.unwrap() {
            found.insert(delivery.envelope().id.to_string());
            delivery.ack().await.unwrap();
        }
    }
    found
}

#[test]
fn a_server_that_is_killed_under_load_has_everything_that_it_acknowledged() {
    block_on(async {
        let mut nats = Service::named("nats").await;
        let (broker, _prefix) = broker(Duration::from_secs(2)).await;
        for round in 0..3 * testkit::scale() {
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
                nats.kill().await;
                assert!(matches!(broker.health().await, Health::Down(_)));
                done.store(true, Ordering::SeqCst);
                nats.start().await;
            };
            let (accepted, ()) = tokio::join!(load, kill);
            up(&broker).await;
            let found = all(&broker).await;
            let lost: Vec<_> = accepted.difference(&found).collect();
            println!("round {round}: {} acknowledged, {} there", accepted.len(), found.len());
            assert!(!accepted.is_empty() && lost.is_empty(), "{lost:?}");
        }
    });
}

#[test]
fn deliveries_counts_and_delays_survive_a_restart() {
    block_on(async {
        let mut nats = Service::named("nats").await;
        let (broker, _prefix) = broker(Duration::from_secs(2)).await;
        broker.publish(&["a", "b", "c", "d"].map(envelope)).await;
        let mut held = broker.receive("queue", 4).await.unwrap();
        held.pop().unwrap().reject("no good").await.unwrap();
        held.pop().unwrap().retry(Duration::from_secs(3600), "later").await.unwrap();
        held.pop().unwrap().retry(Duration::from_millis(10), "soon").await.unwrap();
        nats.stop().await;
        nats.start().await;
        up(&broker).await;
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
fn a_kill_may_bring_back_what_was_acknowledged_and_takes_nothing_away() {
    block_on(async {
        let mut nats = Service::named("nats").await;
        let (broker, _prefix) = broker(Duration::from_secs(2)).await;
        let sent: Vec<Envelope> = (0..20).map(|n| envelope(&n.to_string())).collect();
        broker.publish(&sent).await;
        let mut seen = BTreeSet::new();
        for delivery in broker.receive("queue", 10).await.unwrap() {
            seen.insert(delivery.envelope().id.to_string());
            delivery.ack().await.unwrap();
        }
        nats.kill().await;
        nats.start().await;
        up(&broker).await;
        let rest = all(&broker).await;
        println!("{} acknowledged, {} came after the kill", seen.len(), rest.len());
        seen.extend(rest);
        assert_eq!(seen, sent.iter().map(|envelope| envelope.id.to_string()).collect());
    });
}

#[test]
fn a_relay_waits_for_the_server_spends_nothing_and_repeats_nothing() {
    block_on(async {
        let mut nats = Service::named("nats").await;
        let (broker, _prefix) = broker(WHILE).await;
        let (pool, outbox) = service().await;
        let at_once = RetryPolicy::exponential().with_base(Duration::from_millis(1));
        let options = RelayOptions::default().with_retry(at_once.with_attempts(2)).with_outage(at_once);
        let relay = Relay::new(outbox.store(), Arc::new(broker.clone()), options).unwrap();
        enqueue(&pool, &outbox, "before").await;
        relay.drain(WHILE).await.unwrap();
        nats.kill().await;
        enqueue(&pool, &outbox, "while").await;
        for _ in 0..20 {
            relay.step().await.unwrap();
        }
        nats.start().await;
        let counts = relay.drain(WHILE).await.unwrap();
        assert!(counts.is_empty(), "{counts:?}");
        let log = outbox.store().log(10).await.unwrap();
        assert!(log.iter().all(|row| (row.status, row.attempts) == (Status::Sent, 1)), "{log:?}");
        assert_eq!(all(&broker).await.len(), 2);
    });
}

async fn service() -> (SqlitePool, Outbox<Sqlite>) {
    let pool = sqlite::memory().await.unwrap();
    let outbox = Outbox::<Sqlite>::new(pool.clone());
    outbox.migrate().await.unwrap();
    (pool, outbox)
}

async fn enqueue(pool: &SqlitePool, outbox: &Outbox<Sqlite>, text: &str) {
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, &Message::to("topic").text(text).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
}
