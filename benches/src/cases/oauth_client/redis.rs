//! On Redis.

use std::sync::Arc;

use async_trait::async_trait;
use onceward_backend::redis::Script;
use onceward_oauth_client::store::RedisStore;
use testkit::redis::Prefix;
use uuid::Uuid;

use super::super::bare::{self, Plain, script};
use super::{BODY, Begins, DAY, PENDING, Takes, digest};
use crate::case::{Client, Setting, World};

const SCRIPTS: &str = include_str!("../../../../crates/oauth-client/src/store/redis/scripts.rs");

pub(super) async fn begin(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    let handles = bare::ours_many(&prefix, setting).await;
    World::new(handles.into_iter().map(|redis| Begins::new(RedisStore::new(redis)))).keep(prefix)
}

pub(super) async fn take(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    let handles = bare::ours_many(&prefix, setting).await;
    World::new(handles.into_iter().map(|redis| Takes::new(RedisStore::new(redis)))).keep(prefix)
}

/// The two scripts of the store.
struct Scripts {
    plain: Plain,
    read: Arc<Script>,
    write: Arc<Script>,
}

async fn scripts(prefix: &Prefix, setting: Setting) -> impl Iterator<Item = Scripts> {
    let [read, write] = ["READ", "WRITE"].map(|name| Arc::new(script("", SCRIPTS, name)));
    let plain = Plain::many(prefix, setting).await;
    plain.into_iter().map(move |plain| Scripts { plain, read: Arc::clone(&read), write: Arc::clone(&write) })
}

/// Format, version, number of the call.
fn head(version: i64) -> Vec<u8> {
    [&[1], &version.to_be_bytes()[..], &Uuid::new_v4().as_bytes()[..8]].concat()
}

impl Scripts {
    async fn write(&self, key: &str, expected: &[u8], record: &[u8], millis: u128) {
        let mut write = self.write.prepare_invoke();
        write.key(key).arg(expected).arg(record).arg(millis.to_string());
        assert!(self.plain.run::<bool>(&write).await);
    }

    /// Head, life, body.
    fn login(version: i64) -> Vec<u8> {
        [&head(version)[..], &600_000_u64.to_be_bytes(), &[7; BODY]].concat()
    }
}

struct BeginsBare(Scripts);

pub(super) async fn begin_bare(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    World::new(scripts(&prefix, setting).await.map(BeginsBare)).keep(prefix)
}

#[async_trait]
impl Client for BeginsBare {
    async fn turn(&self, turn: u64) -> u64 {
        let key = self.0.plain.key(&format!("oauth:flow:{}", digest(turn)));
        self.0.write(&key, &[], &Scripts::login(1), PENDING.as_millis()).await;
        1
    }
}

struct TakesBare(Scripts);

pub(super) async fn take_bare(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    World::new(scripts(&prefix, setting).await.map(TakesBare)).keep(prefix)
}

#[async_trait]
impl Client for TakesBare {
    async fn turn(&self, turn: u64) -> u64 {
        let plain = &self.0.plain;
        let [flow, code] = ["flow", "code"].map(|of| plain.key(&format!("oauth:{of}:{}", digest(turn))));
        self.0.write(&flow, &[], &Scripts::login(1), PENDING.as_millis()).await;
        let mut read = self.0.read.prepare_invoke();
        let found: Option<(Vec<u8>, i64)> = plain.run(read.key(&flow)).await;
        let (record, _) = found.unwrap();
        self.0.write(&flow, &record[..9], &Scripts::login(2), PENDING.as_millis()).await;
        self.0.write(&code, &[], &head(1), DAY.as_millis()).await;
        1
    }
}
