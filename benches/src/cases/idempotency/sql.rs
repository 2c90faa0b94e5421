//! On PostgreSQL, and the one-statement mark on MariaDB too.

use async_trait::async_trait;
use onceward_idempotency::{Fingerprint, MySqlStore, PostgresStore};
use sqlx::{MySqlPool, PgPool};
use uuid::Uuid;

use super::super::bare::{self, hex, now};
use super::{Literal, Marks, RESULT, Tokens, user};
use crate::case::{Client, Setting, World};

const MINUTE: i64 = 60_000_000;
const HALF_HOUR: i64 = 30 * MINUTE;
const DAY: i64 = 24 * 60 * MINUTE;

async fn open(setting: Setting) -> (testkit::Lent, PgPool, PostgresStore) {
    let (database, pool) = bare::postgres(setting).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (database, pool, store)
}

pub(super) async fn tokens(setting: Setting) -> World {
    let (database, _, store) = open(setting).await;
    World::new((0..setting.clients).map(|_| Tokens::new(store.clone()))).keep(database)
}

pub(super) async fn literal(setting: Setting) -> World {
    let (database, _, store) = open(setting).await;
    World::new((0..setting.clients).map(|_| Literal::new(store.clone()))).keep(database)
}

pub(super) async fn mark(setting: Setting) -> World {
    let (database, _, store) = open(setting).await;
    World::new((0..setting.clients).map(|_| Marks::new(store.clone()))).keep(database)
}

pub(super) async fn mark_mysql(setting: Setting) -> World {
    let (database, pool) = bare::mysql(setting).await;
    let store = MySqlStore::new(pool);
    store.migrate().await.unwrap();
    World::new((0..setting.clients).map(|_| Marks::new(store.clone()))).keep(database)
}

/// Insert, read, claim, complete.
struct Issued(PgPool);

pub(super) async fn tokens_bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| Issued(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for Issued {
    async fn turn(&self, turn: u64) -> u64 {
        let (id, user, owner) = (Uuid::new_v4().to_string(), user(turn), Uuid::new_v4().simple().to_string());
        sqlx::query(concat!(
            "insert into idem_token (id, purpose, subject, state, revision, attempt, takeover, owner, holder, \
             fingerprint, expires_at, claimed_at, lease_until, tail, keep_until) \
             values ($1, 'order', $2, 0, 0, 0, 0, $3, '', $4, ",
            now!(),
            " + $5, 0, 0, 0, ",
            now!(),
            " + $6) \
             on conflict do nothing"
        ))
        .bind(&id)
        .bind(&user)
        .bind("0".repeat(32))
        .bind(Fingerprint::NONE.as_bytes().as_slice())
        .bind(HALF_HOUR)
        .bind(2 * HALF_HOUR)
        .execute(&self.0)
        .await
        .unwrap();
        type Row = (i64, i64, i64, i64, String, Vec<u8>, i64, i64, Option<Vec<u8>>, Option<String>);
        let (revision, ..): Row = sqlx::query_as(concat!(
            "select t.revision, t.state, t.attempt, t.takeover, t.owner, t.fingerprint, \
             t.expires_at - ",
            now!(),
            ", t.lease_until - ",
            now!(),
            ", t.result, \
             (select l.id from idem_latest l where l.scope = $1 and l.keep_until > ",
            now!(),
            ") \
             from idem_token t where t.id = $2 and t.purpose = 'order' and t.subject = $3 and t.keep_until > ",
            now!()
        ))
        .bind(format!("order {user}"))
        .bind(&id)
        .bind(&user)
        .fetch_one(&self.0)
        .await
        .unwrap();
        let taken = sqlx::query(concat!(
            "update idem_token set state = 1, revision = revision + 1, attempt = attempt + 1, takeover = 0, owner = $1, \
             holder = '', claimed_at = ", now!(), ", lease_until = ", now!(), " + $2, tail = $3, \
             keep_until = ", now!(), " + $4 where id = $5 and revision = $6"
        ))
        .bind(&owner)
        .bind(MINUTE)
        .bind(DAY)
        .bind(MINUTE + DAY)
        .bind(&id)
        .bind(revision)
        .execute(&self.0)
        .await
        .unwrap();
        let completed = sqlx::query(concat!(
            "update idem_token set state = 2, result = $1, keep_until = ",
            now!(),
            " + $2, revision = revision + 1 \
             where id = $3 and purpose = 'order' and subject = $4 and owner = $5 and state = 1 and keep_until > ",
            now!()
        ))
        .bind(RESULT)
        .bind(DAY)
        .bind(&id)
        .bind(&user)
        .bind(&owner)
        .execute(&self.0)
        .await
        .unwrap();
        assert_eq!((taken.rows_affected(), completed.rows_affected()), (1, 1));
        1
    }
}

/// Upsert, and the delete that compares.
struct Compared(PgPool);

pub(super) async fn literal_bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| Compared(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for Compared {
    async fn turn(&self, turn: u64) -> u64 {
        let (name, value) = (format!("order:token:{}", user(turn)), Uuid::new_v4().to_string());
        sqlx::query(concat!(
            "insert into idem_bare (name, held, keep_until) values ($1, $2, ",
            now!(),
            " + $3) \
             on conflict (name) do update set held = excluded.held, keep_until = excluded.keep_until"
        ))
        .bind(&name)
        .bind(&value)
        .bind(HALF_HOUR)
        .execute(&self.0)
        .await
        .unwrap();
        let delete = concat!("delete from idem_bare where name = $1 and held = $2 and keep_until > ", now!());
        let deleted = sqlx::query(delete).bind(&name).bind(&value).execute(&self.0).await.unwrap();
        assert_eq!(deleted.rows_affected(), 1);
        1
    }
}

/// One insert.
struct Inserted(PgPool);

pub(super) async fn mark_bare(setting: Setting) -> World {
    let (database, pool, _) = open(setting).await;
    World::new((0..setting.clients).map(|_| Inserted(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for Inserted {
    async fn turn(&self, turn: u64) -> u64 {
        let inserted = sqlx::query(concat!(
            "insert into idem_record (name, state, revision, attempt, takeover, owner, holder, fingerprint, claimed_at, \
             lease_until, tail, keep_until) \
             values ($1, 2, 0, 1, 0, $2, '', null, ", now!(), ", ", now!(), " + $3, $4, ", now!(), " + $5) \
             on conflict do nothing"
        ))
        .bind(format!("bench:md5:{}", hex(turn)))
        .bind(Uuid::new_v4().simple().to_string())
        .bind(MINUTE)
        .bind(DAY)
        .bind(DAY)
        .execute(&self.0)
        .await
        .unwrap();
        inserted.rows_affected()
    }
}

/// The same on MariaDB.
struct InsertedMySql(MySqlPool);

pub(super) async fn mark_bare_mysql(setting: Setting) -> World {
    let (database, pool) = bare::mysql(setting).await;
    MySqlStore::new(pool.clone()).migrate().await.unwrap();
    World::new((0..setting.clients).map(|_| InsertedMySql(pool.clone()))).keep(database)
}

#[async_trait]
impl Client for InsertedMySql {
    async fn turn(&self, turn: u64) -> u64 {
        let inserted = sqlx::query(
            "insert ignore into idem_record (name, state, revision, attempt, takeover, owner, holder, fingerprint, \
             claimed_at, lease_until, tail, keep_until) \
             values (?, 2, 0, 1, 0, ?, '', null, cast(unix_timestamp(now(6)) * 1000000 as signed), \
             cast(unix_timestamp(now(6)) * 1000000 as signed) + ?, ?, \
             cast(unix_timestamp(now(6)) * 1000000 as signed) + ?)",
        )
        .bind(format!("bench:md5:{}", hex(turn)))
        .bind(Uuid::new_v4().simple().to_string())
        .bind(MINUTE)
        .bind(DAY)
        .bind(DAY)
        .execute(&self.0)
        .await
        .unwrap();
        inserted.rows_affected()
    }
}
