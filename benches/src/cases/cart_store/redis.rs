//! On Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use onceward_backend::redis::{self, Script, Value};
use onceward_cart_store::store::RedisStore;
use onceward_cart_store::{Limits, OperationId};
use testkit::redis::Prefix;
use uuid::Uuid;

use super::super::bare::{self, Plain};
use super::{Adds, CHANGES, LINES, Old, Reads, Walk, Young, at, share, sku};
use crate::case::{Client, Setting, World};

const APPLY: &str = concat!(
    include_str!("../../../../crates/cart-store/src/store/redis/common.lua"),
    include_str!("../../../../crates/cart-store/src/store/redis/apply.lua")
);

pub(super) async fn young(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    let handles = bare::ours_many(&prefix, setting).await;
    World::new(handles.into_iter().map(|redis| Young::new(RedisStore::new(redis)))).keep(prefix)
}

async fn seeded(setting: Setting) -> (Prefix, Vec<Old>) {
    let prefix = testkit::redis::prefix();
    let mut clients = Vec::new();
    for (client, redis) in bare::ours_many(&prefix, setting).await.into_iter().enumerate() {
        clients.push(Old::seeded(RedisStore::new(redis), client).await);
    }
    (prefix, clients)
}

pub(super) async fn old(setting: Setting) -> World {
    let (prefix, clients) = seeded(setting).await;
    World::new(clients.into_iter().map(|old| Adds(old, Walk::default()))).keep(prefix)
}

pub(super) async fn get(setting: Setting) -> World {
    let (prefix, clients) = seeded(setting).await;
    World::new(clients.into_iter().map(Reads)).keep(prefix)
}

/// Sends the script that applies a batch of one add.
struct Applies {
    plain: Plain,
    apply: Arc<Script>,
}

impl Applies {
    async fn add(&self, key: &str, seen: u32, (pieces, ttl): (i32, &str)) -> u64 {
        let limits = Limits::default();
        let mut apply = self.apply.prepare_invoke();
        apply.key(key).arg("").arg(OperationId::random().as_bytes()).arg(seen);
        apply.arg(limits.max_quantity).arg(limits.max_lines).arg("r").arg(ttl);
        apply.arg("a").arg(sku(0).as_str()).arg(pieces).arg("");
        let reply: Vec<Value> = self.plain.run(&apply).await;
        assert!(matches!(&reply[..], [Value::BulkString(word), _, Value::Int(1)] if word == b"ok"), "{reply:?}");
        1
    }
}

struct YoungBare(Applies);

async fn appliers(prefix: &Prefix, setting: Setting) -> impl Iterator<Item = Applies> {
    let apply = Arc::new(Script::new(APPLY));
    Plain::many(prefix, setting).await.into_iter().map(move |plain| Applies { plain, apply: Arc::clone(&apply) })
}

pub(super) async fn young_bare(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    World::new(appliers(&prefix, setting).await.map(YoungBare)).keep(prefix)
}

#[async_trait]
impl Client for YoungBare {
    async fn turn(&self, turn: u64) -> u64 {
        let name = &Uuid::new_v4().simple().to_string()[..22];
        let key = self.0.plain.key(&format!("cart:{{p{:03}}}:g:{name}", turn % 256));
        self.0.add(&key, 0, (1, "2592000000")).await
    }
}

/// Keys of one client's carts and the version that each has now.
struct OldBare {
    applies: Applies,
    carts: Vec<(String, AtomicU32)>,
    walk: Walk,
}

pub(super) async fn old_bare(setting: Setting) -> World {
    let (prefix, _clients) = seeded(setting).await;
    let keys = Plain::connect(&prefix).await.keys("cart:*").await;
    let seen = u32::try_from(CHANGES).unwrap();
    let clients = appliers(&prefix, setting).await.zip(share(&keys, setting)).map(|(applies, keys)| {
        let carts = keys.into_iter().map(|key| (key, AtomicU32::new(seen))).collect();
        OldBare { applies, carts, walk: Walk::default() }
    });
    World::new(clients).keep(prefix)
}

#[async_trait]
impl Client for OldBare {
    async fn turn(&self, _: u64) -> u64 {
        let (cart, delta) = self.walk.step();
        let (key, version) = &self.carts[cart];
        self.applies.add(key, version.fetch_add(1, Ordering::Relaxed), (delta, "")).await
    }
}

/// `HGETALL`.
struct GetBare {
    plain: Plain,
    keys: Vec<String>,
}

pub(super) async fn get_bare(setting: Setting) -> World {
    let (prefix, _clients) = seeded(setting).await;
    let plain = Plain::many(&prefix, setting).await;
    let keys = plain[0].keys("cart:*").await;
    World::new(plain.into_iter().zip(share(&keys, setting)).map(|(plain, keys)| GetBare { plain, keys })).keep(prefix)
}

#[async_trait]
impl Client for GetBare {
    async fn turn(&self, turn: u64) -> u64 {
        let fields: HashMap<Vec<u8>, Vec<u8>> =
            self.plain.command(redis::cmd("HGETALL").arg(&self.keys[at(turn)])).await;
        u64::from(fields.len() == LINES + 1)
    }
}
