//! A business row and a message about it in one transaction.

use async_trait::async_trait;
use onceward_reliable_mq::{Message, Outbox};
use sqlx::{PgPool, Postgres, Transaction};
use testkit::Lent;
use uuid::Uuid;

use super::super::bare::{self, now};
use crate::case::{Client, Setting, World};

pub(super) async fn open(setting: Setting) -> (Lent, PgPool, Outbox<Postgres>) {
    let (database, pool) = bare::postgres(setting).await;
    let table = "create table business (id bigint generated always as identity primary key, body text)";
    sqlx::query(table).execute(&pool).await.unwrap();
    let outbox = Outbox::new(pool.clone());
    outbox.migrate().await.unwrap();
    (database, pool, outbox)
}

/// The transaction so far.
pub(super) async fn business(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("insert into business (body) values ('x')").execute(&mut *tx).await.unwrap();
    tx
}

struct Enqueues {
    pool: PgPool,
    outbox: Outbox<Postgres>,
}

pub(super) async fn outbox(setting: Setting) -> World {
    let (database, pool, outbox) = open(setting).await;
    let client = |_| Enqueues { pool: pool.clone(), outbox: outbox.clone() };
    World::new((0..setting.clients).map(client)).keep(database)
}

#[async_trait]
impl Client for Enqueues {
    async fn turn(&self, turn: u64) -> u64 {
        let message = Message::to("orders.confirmed").key(format!("user-{turn}")).text(PAYLOAD).unwrap();
        let mut tx = business(&self.pool).await;
        self.outbox.enqueue(&mut tx, &message).await.unwrap();
        tx.commit().await.unwrap();
        1
    }
}

struct Inserts(PgPool);

pub(super) async fn bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| Inserts(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for Inserts {
    async fn turn(&self, turn: u64) -> u64 {
        let mut tx = business(&self.0).await;
        sqlx::query(concat!(
            "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
             values ($1, $2, $3, $4, $5, $6, ",
            now!(),
            ")"
        ))
        .bind(i64::try_from(turn % 8).unwrap())
        .bind(Uuid::now_v7().to_string())
        .bind("orders.confirmed")
        .bind(format!("user-{turn}"))
        .bind("{}")
        .bind(PAYLOAD.as_bytes())
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        1
    }
}

struct Alone(PgPool);

pub(super) async fn alone(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| Alone(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for Alone {
    async fn turn(&self, _: u64) -> u64 {
        business(&self.0).await.commit().await.unwrap();
        1
    }
}

pub(super) const PAYLOAD: &str = "order 17 of alice is confirmed: two speckled mugs, one tin of tea";
