//! One relay that empties a full outbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use onceward_reliable_mq::{
    Broker, History, MemoryBroker, Outbox, RabbitMqBroker, RabbitMqOptions, Relay, RelayOptions, Subscription,
};
use sqlx::{Connection as _, PgPool};
use testkit::Lent;

use super::super::bare::{self, now};
use crate::case::{Client, Setting, World};

const LANES: i64 = 8;
const QUEUE: &str = "bench";
/// What the broker of the relay has unconfirmed at once on a channel; and the relay has two workers.
const WINDOW: usize = 500;
const WORKERS: usize = 2;
/// More than any side relays in a second here; one that runs out ends its round early.
const PER_SECOND: f64 = 60_000.0;

/// An outbox full of messages of 256 bytes, each with a key of its own.
async fn full(setting: Setting) -> (Lent, PgPool, Outbox<sqlx::Postgres>) {
    // A connection for each worker of a relay.
    let (database, pool) = bare::postgres(Setting { clients: WORKERS, ..setting }).await;
    let outbox = Outbox::new(pool.clone());
    outbox.migrate().await.unwrap();
    let fill = concat!(
        "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
         select n % $1, gen_random_uuid()::text, 'bench', 'key-' || n, '{}', decode(repeat('6f', 256), 'hex'), ",
        now!(),
        " from generate_series(1, $2) n"
    );
    #[allow(clippy::cast_possible_truncation, reason = "some thousands")]
    let messages = (PER_SECOND * setting.span.as_secs_f64()) as i64;
    sqlx::query(fill).bind(LANES).bind(messages).execute(&pool).await.unwrap();
    for table in ["vacuum analyze mq_hot", "vacuum analyze mq_delayed"] {
        sqlx::query(table).execute(&pool).await.unwrap();
    }
    (database, pool, outbox)
}

struct Rounds(Relay);

#[async_trait]
impl Client for Rounds {
    async fn turn(&self, _: u64) -> u64 {
        let step = self.0.step().await.unwrap();
        assert_eq!((step.retried, step.dead), (0, 0));
        step.sent as u64
    }
}

async fn relaying(setting: Setting, broker: Arc<dyn Broker>, history: History) -> World {
    let (database, _, outbox) = full(setting).await;
    broker.subscribe(&Subscription::new(QUEUE).topic("bench")).await.unwrap();
    let options = RelayOptions::default().with_allow_volatile(true).with_history(history);
    World::new([Rounds(Relay::new(outbox.store(), broker, options).unwrap())]).keep(database)
}

async fn memory(setting: Setting, history: History) -> World {
    relaying(setting, Arc::new(MemoryBroker::new()), history).await
}

pub(super) async fn memory_batches(setting: Setting) -> World {
    memory(setting, History::Batches).await
}

pub(super) async fn memory_rows(setting: Setting) -> World {
    memory(setting, History::Rows).await
}

/// What is deleted cannot be cleaned up: a transaction that wrote, elsewhere, has not ended.
pub(super) async fn memory_held(setting: Setting) -> World {
    let (database, pool, outbox) = full(setting).await;
    let mut held = sqlx::PgConnection::connect(database.url()).await.unwrap();
    for sql in ["create table elsewhere (id bigint)", "begin", "insert into elsewhere values (1)"] {
        sqlx::raw_sql(sql).execute(&mut held).await.unwrap();
    }
    drop(pool);
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    broker.subscribe(&Subscription::new(QUEUE).topic("bench")).await.unwrap();
    let options = RelayOptions::default().with_allow_volatile(true).with_history(History::Batches);
    World::new([Rounds(Relay::new(outbox.store(), broker, options).unwrap())]).keep(held).keep(database)
}

async fn rabbitmq(setting: Setting, history: History) -> World {
    let options = RabbitMqOptions::default().with_prefix(format!("{}.", testkit::namespace()));
    let broker = RabbitMqBroker::new(&testkit::url("AMQP_URL"), options).unwrap();
    let world = relaying(setting, Arc::new(broker.clone()), history).await;
    world.closing(async move { broker.remove(QUEUE).await.unwrap() })
}

pub(super) async fn rabbitmq_batches(setting: Setting) -> World {
    rabbitmq(setting, History::Batches).await
}

pub(super) async fn rabbitmq_rows(setting: Setting) -> World {
    rabbitmq(setting, History::Rows).await
}

type Row = (i64, String, String, Option<String>, String, Vec<u8>, i64);

/// Reads and deletes, and nothing else: no lease, no retry, no history, no disk.
struct Emptying(PgPool, AtomicI64);

#[async_trait]
impl Client for Emptying {
    async fn turn(&self, _: u64) -> u64 {
        let lane = self.1.fetch_add(1, Ordering::Relaxed) % LANES;
        let rows: Vec<Row> = sqlx::query_as(
            "select id, message_id, topic, msg_key, headers, payload, enqueued_at from mq_hot \
             where shard = $1 order by id limit 500",
        )
        .bind(lane)
        .fetch_all(&self.0)
        .await
        .unwrap();
        let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let delete = sqlx::query("delete from mq_hot where shard = $1 and id = any($2)").bind(lane).bind(ids);
        delete.execute(&self.0).await.unwrap().rows_affected()
    }
}

pub(super) async fn memory_bare(setting: Setting) -> World {
    let (database, pool, _) = full(setting).await;
    let lazily = pool.connect_options().as_ref().clone().options([("synchronous_commit", "off")]);
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect_with(lazily);
    World::new([Emptying(pool.await.unwrap(), AtomicI64::new(0))]).keep(database)
}

/// Publishes one window after another on each channel: persistent, mandatory, confirmed.
struct Publishing {
    channels: Vec<Channel>,
    exchange: String,
    /// Whether messages have what those of a relay have, and not only an id.
    whole: bool,
}

impl Publishing {
    fn properties(&self) -> BasicProperties {
        let id = uuid::Uuid::now_v7().to_string();
        let properties = BasicProperties::default().with_message_id(id.into()).with_delivery_mode(2);
        if !self.whole {
            return properties;
        }
        let mut headers = FieldTable::default();
        for (name, value) in [("onceward-enqueued-at", "1764400000000000 3:1234567:1"), ("onceward-key", "key-1234567")]
        {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        properties.with_type("bench".into()).with_headers(headers)
    }

    async fn window(&self, channel: &Channel) {
        let payload = [b'o'; 256];
        let mut confirms = Vec::with_capacity(WINDOW);
        for _ in 0..WINDOW {
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let exchange = self.exchange.as_str().into();
            let publish = channel.basic_publish(exchange, "bench".into(), options, &payload, self.properties());
            confirms.push(publish.await.unwrap());
        }
        for confirm in confirms {
            assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
        }
    }
}

#[async_trait]
impl Client for Publishing {
    async fn turn(&self, _: u64) -> u64 {
        join_all(self.channels.iter().map(|channel| self.window(channel))).await;
        (WINDOW * self.channels.len()) as u64
    }
}

pub(super) async fn rabbitmq_bare(_: Setting) -> World {
    publishing(false).await
}

pub(super) async fn rabbitmq_bare_whole(_: Setting) -> World {
    publishing(true).await
}

async fn publishing(whole: bool) -> World {
    let name = testkit::namespace();
    let connection = Connection::connect(&testkit::url("AMQP_URL"), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, auto_delete: true, ..ExchangeDeclareOptions::default() };
    let exchange = name.as_str().into();
    channel.exchange_declare(exchange, ExchangeKind::Direct, durable, FieldTable::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.as_str().into(), durable, FieldTable::default()).await.unwrap();
    let bind = QueueBindOptions::default();
    let (queue, exchange) = (name.as_str().into(), name.as_str().into());
    channel.queue_bind(queue, exchange, "bench".into(), bind, FieldTable::default()).await.unwrap();
    let mut channels = Vec::new();
    for _ in 0..WORKERS {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channels.push(channel);
    }
    World::new([Publishing { channels, exchange: name.clone(), whole }]).keep(connection).closing(async move {
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    })
}
