//! Producers that keep their pace whatever becomes of their messages, and a relay beside them.

use std::sync::Arc;
use std::time::Duration;

use onceward_reliable_mq::{
    Broker, MemoryBroker, Message, MessageId, Outbox, RabbitMqBroker, RabbitMqOptions, Relay, RelayOptions,
    Subscription,
};
use sqlx::{PgPool, Postgres};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::enqueue::{PAYLOAD, business, open};
use super::latency::{QUEUE, Told};
use crate::case::Setting;
use crate::load::open_loop::{Pace, Sent};

/// How long a message may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Producers with transactions on PostgreSQL, to a broker in memory.
///
/// # Panics
/// If anything fails.
pub async fn memory(pace: Pace) -> Vec<Sent> {
    run(pace, Arc::new(MemoryBroker::new())).await
}

/// The same to RabbitMQ.
///
/// # Panics
/// If anything fails.
pub async fn rabbitmq(pace: Pace) -> Vec<Sent> {
    let options = RabbitMqOptions::default().with_prefix(format!("{}.", testkit::namespace()));
    let broker = RabbitMqBroker::new(&testkit::url("AMQP_URL"), options).unwrap();
    let sent = run(pace, Arc::new(broker.clone())).await;
    broker.remove(QUEUE).await.unwrap();
    sent
}

async fn run(pace: Pace, broker: Arc<dyn Broker>) -> Vec<Sent> {
    // A relay's two workers ask on connections of their own.
    let setting = Setting { clients: pace.producers as usize + 2, span: pace.span, seed: 1 };
    let (database, pool, outbox) = open(setting).await;
    broker.subscribe(&Subscription::new(QUEUE).topic(QUEUE)).await.unwrap();
    let broker = Arc::new(Told::new(broker));
    let options = RelayOptions::default().with_allow_volatile(true);
    let relay = Relay::new(outbox.store(), Arc::clone(&broker) as Arc<dyn Broker>, options).unwrap();
    let (mut relays, mut producers, stop) = (JoinSet::new(), JoinSet::new(), CancellationToken::new());
    relays.spawn({
        let stop = stop.clone();
        async move { relay.run(stop).await }
    });
    let begun = Instant::now();
    for producer in 0..pace.producers {
        let (pool, outbox, broker) = (pool.clone(), outbox.clone(), Arc::clone(&broker));
        producers.spawn(async move { produce(pace, producer, begun, &pool, &outbox, &broker).await });
    }
    let sent = producers.join_all().await.into_iter().flatten().collect();
    stop.cancel();
    relays.join_all().await;
    drop(database);
    sent
}

/// One producer: it waits for no message, and is late only if a transaction takes longer than its interval.
async fn produce(
    pace: Pace,
    producer: u32,
    begun: Instant,
    pool: &PgPool,
    outbox: &Outbox<Postgres>,
    broker: &Told,
) -> Vec<Sent> {
    let mut waiting = Vec::new();
    for due in pace.of(producer).map(|after| begun + after) {
        sleep_until(due).await;
        let id = MessageId::parse(format!("{producer}-{}", waiting.len())).unwrap();
        let accepted = broker.when_accepted(&id);
        let message = Message::to(QUEUE).key(format!("user-{producer}")).id(id).text(PAYLOAD).unwrap();
        let mut tx = business(pool).await;
        outbox.enqueue(&mut tx, &message).await.unwrap();
        tx.commit().await.unwrap();
        let committed = Instant::now();
        outbox.wake();
        waiting.push((due, committed, accepted));
    }
    let (mut sent, end) = (Vec::with_capacity(waiting.len()), Instant::now() + PATIENCE);
    for (due, committed, accepted) in waiting {
        let accepted = timeout_at(end, accepted).await.unwrap().unwrap();
        // A relay may find a message, and a broker accept it, before its producer hears of the commit.
        let of = |since: Instant| accepted.saturating_duration_since(since);
        sent.push(Sent { since_commit: of(committed), since_due: of(due) });
    }
    sent
}
