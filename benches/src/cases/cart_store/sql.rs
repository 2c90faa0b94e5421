//! On PostgreSQL.

use async_trait::async_trait;
use onceward_cart_store::store::PostgresStore;
use sqlx::PgPool;
use testkit::Lent;
use uuid::Uuid;

use super::super::bare::{self, now};
use super::{Adds, CARTS, Old, Reads, Walk, Young, at, share};
use crate::case::{Client, Setting, World};

const MONTH: i64 = 30 * 24 * 3600 * 1_000_000;

async fn open(setting: Setting) -> (Lent, PgPool, PostgresStore) {
    let (database, pool) = bare::postgres(setting).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (database, pool, store)
}

pub(super) async fn young(setting: Setting) -> World {
    let (database, _, store) = open(setting).await;
    World::new((0..setting.clients).map(|_| Young::new(store.clone()))).keep(database)
}

async fn seeded(setting: Setting) -> (Lent, PgPool, Vec<Old>) {
    let (database, pool, store) = open(setting).await;
    let seeds = (0..setting.clients).map(|client| Old::seeded(store.clone(), client));
    let clients = futures_util::future::join_all(seeds).await;
    sqlx::query("vacuum analyze cart_carts").execute(&pool).await.unwrap();
    (database, pool, clients)
}

pub(super) async fn old(setting: Setting) -> World {
    let (database, _, clients) = seeded(setting).await;
    World::new(clients.into_iter().map(|old| Adds(old, Walk::default()))).keep(database)
}

pub(super) async fn get(setting: Setting) -> World {
    let (database, _, clients) = seeded(setting).await;
    World::new(clients.into_iter().map(Reads)).keep(database)
}

const READ: &str = concat!("select revision, expires_at - ", now!(), ", body from cart_carts where id = $1");

type Row = (i64, Option<i64>, Vec<u8>);

/// Looks, finds nothing, inserts.
struct YoungBare {
    pool: PgPool,
    body: Vec<u8>,
}

pub(super) async fn young_bare(setting: Setting) -> World {
    let (database, pool, store) = open(setting).await;
    Young::new(store).turn(0).await;
    let body: Vec<u8> = sqlx::query_scalar("delete from cart_carts returning body").fetch_one(&pool).await.unwrap();
    World::new((0..setting.clients).map(|_| YoungBare { pool: pool.clone(), body: body.clone() })).keep(database)
}

#[async_trait]
impl Client for YoungBare {
    async fn turn(&self, turn: u64) -> u64 {
        let id = format!("g:{}", &Uuid::new_v4().simple().to_string()[..22]);
        let found: Option<Row> = sqlx::query_as(READ).bind(&id).fetch_optional(&self.pool).await.unwrap();
        assert!(found.is_none());
        let inserted = sqlx::query(concat!(
            "insert into cart_carts (id, revision, merge_stage, version, line_count, body, merge_at, updated_at, \
             expires_at) values ($1, $2, 0, 1, 1, $3, ",
            now!(),
            ", ",
            now!(),
            ", ",
            now!(),
            " + $4) \
             on conflict do nothing"
        ))
        .bind(&id)
        .bind(i64::try_from(turn).unwrap())
        .bind(&self.body)
        .bind(MONTH)
        .execute(&self.pool)
        .await
        .unwrap();
        inserted.rows_affected()
    }
}

/// Reads and compares and sets.
struct OldBare {
    pool: PgPool,
    ids: Vec<String>,
}

/// One list of ids for each client.
async fn ids(pool: &PgPool, setting: Setting) -> Vec<Vec<String>> {
    let ids: Vec<String> = sqlx::query_scalar("select id from cart_carts order by id").fetch_all(pool).await.unwrap();
    assert_eq!(ids.len(), CARTS * setting.clients);
    share(&ids, setting)
}

pub(super) async fn old_bare(setting: Setting) -> World {
    let (database, pool, _) = seeded(setting).await;
    let ids = ids(&pool, setting).await;
    World::new(ids.into_iter().map(|ids| OldBare { pool: pool.clone(), ids })).keep(database)
}

#[async_trait]
impl Client for OldBare {
    async fn turn(&self, turn: u64) -> u64 {
        let id = &self.ids[at(turn)];
        let (revision, _, body): Row = sqlx::query_as(READ).bind(id).fetch_one(&self.pool).await.unwrap();
        let updated = sqlx::query(concat!(
            "update cart_carts set merge_at = case when merge_stage = $1 then merge_at else ",
            now!(),
            " end, \
             merge_stage = $2, version = $3, line_count = $4, body = $5, revision = revision + 1, \
             updated_at = ",
            now!(),
            ", expires_at = ",
            now!(),
            " + $6 where id = $7 and revision = $8"
        ))
        .bind(0_i64)
        .bind(0_i64)
        .bind(9_i64)
        .bind(5_i64)
        .bind(body)
        .bind(None::<i64>)
        .bind(id)
        .bind(revision)
        .execute(&self.pool)
        .await
        .unwrap();
        updated.rows_affected()
    }
}

/// Reads.
struct GetBare {
    pool: PgPool,
    ids: Vec<String>,
}

pub(super) async fn get_bare(setting: Setting) -> World {
    let (database, pool, _) = seeded(setting).await;
    let ids = ids(&pool, setting).await;
    World::new(ids.into_iter().map(|ids| GetBare { pool: pool.clone(), ids })).keep(database)
}

#[async_trait]
impl Client for GetBare {
    async fn turn(&self, turn: u64) -> u64 {
        let row: Row = sqlx::query_as(READ).bind(&self.ids[at(turn)]).fetch_one(&self.pool).await.unwrap();
        u64::from(!row.2.is_empty())
    }
}
