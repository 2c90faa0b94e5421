//! On PostgreSQL.

use async_trait::async_trait;
use onceward_oauth_client::store::PostgresStore;
use sqlx::PgPool;
use testkit::Lent;

use super::super::bare::{self, now};
use super::{BODY, Begins, DAY, PENDING, Takes, digest};
use crate::case::{Client, Setting, World};

async fn open(setting: Setting) -> (Lent, PgPool, PostgresStore) {
    let (database, pool) = bare::postgres(setting).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (database, pool, store)
}

pub(super) async fn begin(setting: Setting) -> World {
    let (database, _, store) = open(setting).await;
    World::new((0..setting.clients).map(|_| Begins::new(store.clone()))).keep(database)
}

pub(super) async fn take(setting: Setting) -> World {
    let (database, _, store) = open(setting).await;
    World::new((0..setting.clients).map(|_| Takes::new(store.clone()))).keep(database)
}

async fn insert(pool: &PgPool, id: &str) -> u64 {
    let insert = sqlx::query(concat!(
        "insert into oauth_flow (id, version, written_at, expires_at, body) \
         values ($1, 1, ",
        now!(),
        ", ",
        now!(),
        " + $2, $3) on conflict do nothing"
    ));
    let insert = insert.bind(id).bind(micros(PENDING)).bind([7_u8; BODY].as_slice());
    insert.execute(pool).await.unwrap().rows_affected()
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap()
}

struct BeginsBare(PgPool);

pub(super) async fn begin_bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| BeginsBare(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for BeginsBare {
    async fn turn(&self, turn: u64) -> u64 {
        insert(&self.0, &digest(turn)).await
    }
}

struct TakesBare(PgPool);

pub(super) async fn take_bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| TakesBare(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for TakesBare {
    async fn turn(&self, turn: u64) -> u64 {
        let (pool, id) = (&self.0, digest(turn));
        insert(pool, &id).await;
        let (version, _, _, body): (i64, i64, i64, Vec<u8>) = sqlx::query_as(concat!(
            "select version, ",
            now!(),
            " - written_at, expires_at - ",
            now!(),
            ", body from oauth_flow \
             where id = $1 and expires_at > ",
            now!()
        ))
        .bind(&id)
        .fetch_one(pool)
        .await
        .unwrap();
        let replaced = sqlx::query(concat!(
            "update oauth_flow set version = version + 1, written_at = ",
            now!(),
            ", expires_at = ",
            now!(),
            " + $1, \
             body = $2 where id = $3 and version = $4 and expires_at > ",
            now!()
        ))
        .bind(micros(PENDING))
        .bind(body)
        .bind(&id)
        .bind(version)
        .execute(pool)
        .await
        .unwrap();
        let code =
            concat!("insert into oauth_code (id, expires_at) values ($1, ", now!(), " + $2) on conflict do nothing");
        let code = sqlx::query(code).bind(&id).bind(micros(DAY)).execute(pool).await.unwrap();
        assert_eq!((replaced.rows_affected(), code.rows_affected()), (1, 1));
        1
    }
}
