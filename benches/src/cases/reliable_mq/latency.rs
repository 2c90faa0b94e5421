//! From before a transaction to its message in the broker, one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use onceward_reliable_mq::{
    Broker, BrokerCapabilities, Delivery, Envelope, Error, Health, MemoryBroker, Message, MessageId, Outbox, Outcome,
    RabbitMqBroker, RabbitMqOptions, Relay, RelayOptions, Subscription,
};
use sqlx::{PgPool, Postgres};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::enqueue::{business, open};
use crate::case::{Client, Setting, World};

pub(super) const QUEUE: &str = "bench";

/// Tells whoever waits for a message when its broker has accepted it.
#[derive(Debug)]
pub(super) struct Told {
    broker: Arc<dyn Broker>,
    waiting: Mutex<HashMap<MessageId, oneshot::Sender<Instant>>>,
}

impl Told {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, waiting: Mutex::default() }
    }

    pub(super) fn when_accepted(&self, id: &MessageId) -> oneshot::Receiver<Instant> {
        let (accepted, waits) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), accepted);
        waits
    }
}

#[async_trait]
impl Broker for Told {
    fn capabilities(&self) -> BrokerCapabilities {
        self.broker.capabilities()
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let outcomes = self.broker.publish(batch).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
        let at = Instant::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for accepted in batch.iter().filter_map(|envelope| waiting.remove(&envelope.id)) {
            let _ = accepted.send(at);
        }
        outcomes
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

struct Waits {
    pool: PgPool,
    outbox: Outbox<Postgres>,
    broker: Arc<Told>,
}

#[async_trait]
impl Client for Waits {
    async fn turn(&self, turn: u64) -> u64 {
        let id = MessageId::parse(turn.to_string()).unwrap();
        let accepted = self.broker.when_accepted(&id);
        let message = Message::to(QUEUE).key(format!("user-{turn}")).id(id).text("x").unwrap();
        let mut tx = business(&self.pool).await;
        self.outbox.enqueue(&mut tx, &message).await.unwrap();
        tx.commit().await.unwrap();
        self.outbox.wake();
        accepted.await.unwrap();
        1
    }
}

async fn waiting(setting: Setting, broker: Arc<dyn Broker>) -> World {
    // A relay's two workers ask on connections of their own.
    let (database, pool, outbox) = open(Setting { clients: setting.clients + 2, ..setting }).await;
    broker.subscribe(&Subscription::new(QUEUE).topic(QUEUE)).await.unwrap();
    let broker = Arc::new(Told::new(broker));
    let options = RelayOptions::default().with_allow_volatile(true);
    let relay = Relay::new(outbox.store(), Arc::clone(&broker) as Arc<dyn Broker>, options).unwrap();
    let mut running = JoinSet::new();
    running.spawn(async move { relay.run(CancellationToken::new()).await });
    let client = |_| Waits { pool: pool.clone(), outbox: outbox.clone(), broker: Arc::clone(&broker) };
    World::new((0..setting.clients).map(client)).keep(running).keep(database)
}

pub(super) async fn memory(setting: Setting) -> World {
    waiting(setting, Arc::new(MemoryBroker::new())).await
}

pub(super) async fn rabbitmq(setting: Setting) -> World {
    let options = RabbitMqOptions::default().with_prefix(format!("{}.", testkit::namespace()));
    let broker = RabbitMqBroker::new(&testkit::url("AMQP_URL"), options).unwrap();
    let world = waiting(setting, Arc::new(broker.clone())).await;
    world.closing(async move { broker.remove(QUEUE).await.unwrap() })
}
