//! A business row and many messages about it in one transaction.

use async_trait::async_trait;
use onceward_reliable_mq::{Message, Outbox};
use sqlx::{PgPool, Postgres};
use uuid::Uuid;

use super::super::bare::now;
use super::enqueue::{PAYLOAD, business, open};
use crate::case::{Client, Setting, World};

const MANY: u64 = 500;

struct Arrays(PgPool);

pub(super) async fn bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| Arrays(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for Arrays {
    async fn turn(&self, turn: u64) -> u64 {
        let rows = 0..MANY;
        let lanes: Vec<_> = rows.clone().map(|n| i64::try_from(n % 8).unwrap()).collect();
        let ids: Vec<_> = rows.clone().map(|_| Uuid::now_v7().to_string()).collect();
        let keys: Vec<_> = rows.clone().map(|n| format!("user-{turn}-{n}")).collect();
        let payloads: Vec<_> = rows.map(|_| PAYLOAD.as_bytes()).collect();
        let mut tx = business(&self.0).await;
        sqlx::query(concat!(
            "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
             select shard, id, 'orders.confirmed', key, '{}', payload, ",
            now!(),
            " from unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[]) as m(shard, id, key, payload)"
        ))
        .bind(lanes)
        .bind(ids)
        .bind(keys)
        .bind(payloads)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        MANY
    }
}

struct Messages {
    pool: PgPool,
    outbox: Outbox<Postgres>,
    at_once: bool,
}

async fn world(setting: Setting, at_once: bool) -> World {
    let (database, pool, outbox) = open(setting).await;
    let client = |_| Messages { pool: pool.clone(), outbox: outbox.clone(), at_once };
    World::new((0..setting.clients).map(client)).keep(database)
}

pub(super) async fn all(setting: Setting) -> World {
    world(setting, true).await
}

pub(super) async fn each(setting: Setting) -> World {
    world(setting, false).await
}

#[async_trait]
impl Client for Messages {
    async fn turn(&self, turn: u64) -> u64 {
        let message = |n| Message::to("orders.confirmed").key(format!("user-{turn}-{n}")).text(PAYLOAD).unwrap();
        let messages: Vec<_> = (0..MANY).map(message).collect();
        let mut tx = business(&self.pool).await;
        if self.at_once {
            self.outbox.enqueue_all(&mut tx, &messages).await.unwrap();
        } else {
            for message in &messages {
                self.outbox.enqueue(&mut tx, message).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
        MANY
    }
}
