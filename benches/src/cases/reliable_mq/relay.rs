//! One relay that takes rounds over the eight lanes of a full outbox.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use onceward_reliable_mq::{
    Broker, MemoryBroker, Outbox, RabbitMqBroker, RabbitMqOptions, Relay, RelayOptions, Subscription,
};
use sqlx::PgPool;
use testkit::Lent;

use super::super::bare::{self, now};
use crate::case::{Client, Setting, World};

const LANES: i64 = 8;
const BATCH: i64 = 200;
const QUEUE: &str = "bench";
/// More than any side relays in a second here; one that runs out ends its round early.
const PER_SECOND: f64 = 30_000.0;

/// An outbox full of messages of 256 bytes, each with a key of its own.
async fn full(setting: Setting) -> (Lent, PgPool, Outbox<sqlx::Postgres>) {
    let (database, pool) = bare::postgres(setting).await;
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

async fn relaying(setting: Setting, broker: Arc<dyn Broker>) -> World {
    let (database, _, outbox) = full(setting).await;
    broker.subscribe(&Subscription::new(QUEUE).topic("bench")).await.unwrap();
    let options = RelayOptions::default().with_allow_volatile(true);
    World::new([Rounds(Relay::new(outbox.store(), broker, options).unwrap())]).keep(database)
}

pub(super) async fn memory(setting: Setting) -> World {
    relaying(setting, Arc::new(MemoryBroker::new())).await
}

pub(super) async fn rabbitmq(setting: Setting) -> World {
    let options = RabbitMqOptions::default().with_prefix(format!("{}.", testkit::namespace()));
    let broker = RabbitMqBroker::new(&testkit::url("AMQP_URL"), options).unwrap();
    let world = relaying(setting, Arc::new(broker.clone())).await;
    world.closing(async move { broker.remove(QUEUE).await.unwrap() })
}

/// The statements of a relay, and the publishes if there is a channel.
struct RoundsBare {
    pool: PgPool,
    channel: Option<(Channel, String)>,
}

type Row = (i64, String, String, Option<String>, String, Vec<u8>, i64);

impl RoundsBare {
    async fn lane(&self, lane: i64) -> u64 {
        let due = concat!("select due_at - ", now!(), " from mq_delayed where shard = $1 order by due_at limit 1");
        let due: Option<i64> = sqlx::query_scalar(due).bind(lane).fetch_optional(&self.pool).await.unwrap();
        assert_eq!(due, None);
        let rows: Vec<Row> = sqlx::query_as(
            "select h.id, h.message_id, h.topic, h.msg_key, h.headers, h.payload, h.enqueued_at from mq_hot h \
             where h.shard = $1 and h.id > 0 and not exists (select 1 from mq_delayed d \
             where d.shard = h.shard and d.msg_key = h.msg_key and d.blocks = 1) order by h.id limit $2",
        )
        .bind(lane)
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        if rows.is_empty() {
            return 0;
        }
        if let Some((channel, exchange)) = &self.channel {
            publish(channel, exchange, &rows).await;
        }
        let sequences: Vec<_> = rows.iter().map(|row| row.0.to_string()).collect();
        let ids: Vec<_> = rows.iter().map(|row| row.1.as_str()).collect();
        let settled = sqlx::query(concat!(
            "with gone as (delete from mq_hot using \
             unnest(string_to_array($1, ' ')::bigint[], string_to_array($2, ' ')) as t(id, message_id) \
             where mq_hot.shard = $3 and mq_hot.id = t.id and mq_hot.message_id = t.message_id collate \"C\" \
             returning mq_hot.id, mq_hot.message_id, mq_hot.topic) \
             insert into mq_history (message_id, topic, status, attempt, error, at) \
             select message_id, topic, 'sent', 1, null, ",
            now!(),
            " from gone order by id"
        ))
        .bind(sequences.join(" "))
        .bind(ids.join(" "))
        .bind(lane)
        .execute(&self.pool)
        .await
        .unwrap();
        settled.rows_affected()
    }
}

#[async_trait]
impl Client for RoundsBare {
    async fn turn(&self, _: u64) -> u64 {
        let mut sent = 0;
        for lane in 0..LANES {
            sent += self.lane(lane).await;
        }
        sent
    }
}

/// All of a batch, persistent and mandatory, then all confirms.
async fn publish(channel: &Channel, exchange: &str, rows: &[Row]) {
    let mut confirms = Vec::with_capacity(rows.len());
    for (_, id, topic, _, _, payload, _) in rows {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let properties = BasicProperties::default().with_message_id(id.as_str().into()).with_delivery_mode(2);
        let publish = channel.basic_publish(exchange.into(), topic.as_str().into(), options, payload, properties);
        confirms.push(publish.await.unwrap());
    }
    for confirm in confirms {
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
    }
}

pub(super) async fn memory_bare(setting: Setting) -> World {
    let (database, pool, _) = full(setting).await;
    World::new([RoundsBare { pool, channel: None }]).keep(database)
}

pub(super) async fn rabbitmq_bare(setting: Setting) -> World {
    let (database, pool, _) = full(setting).await;
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
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let rounds = RoundsBare { pool, channel: Some((channel.clone(), name.clone())) };
    World::new([rounds]).keep(database).keep(connection).closing(async move {
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    })
}
