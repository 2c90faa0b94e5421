//! On Redis.

use std::sync::Arc;

use async_trait::async_trait;
use onceward_backend::redis::{self, Script};
use onceward_idempotency::{Fingerprint, RedisStore};
use uuid::Uuid;

use super::super::bare::{self, Plain, hex, script, text};
use super::{Literal, Marks, RESULT, Tokens, user};
use crate::case::{Client, Setting, World};

const SCRIPTS: &str = include_str!("../../../../crates/idempotency/src/store/redis/scripts.rs");

pub(super) async fn tokens(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    let handles = bare::ours_many(&prefix, setting).await;
    World::new(handles.into_iter().map(|redis| Tokens::new(RedisStore::new(redis)))).keep(prefix)
}

pub(super) async fn literal(setting: Setting) -> World {
    // The literal mode puts its keys outside of the prefix; they are all consumed.
    let prefix = testkit::redis::prefix();
    let handles = bare::ours_many(&prefix, setting).await;
    World::new(handles.into_iter().map(|redis| Literal::new(RedisStore::new(redis)))).keep(prefix)
}

pub(super) async fn mark(setting: Setting) -> World {
    let prefix = testkit::redis::prefix();
    let handles = bare::ours_many(&prefix, setting).await;
    World::new(handles.into_iter().map(|redis| Marks::new(RedisStore::new(redis)))).keep(prefix)
}

/// `SET NX`, the script that claims, the script that completes.
struct Issued {
    plain: Plain,
    spend: Arc<Script>,
    complete: Arc<Script>,
}

pub(super) async fn tokens_bare(setting: Setting) -> World {
    let record = text(SCRIPTS, "RECORD");
    let [spend, complete] = ["SPEND", "COMPLETE"].map(|name| Arc::new(script(record, SCRIPTS, name)));
    let prefix = testkit::redis::prefix();
    let plain = Plain::many(&prefix, setting).await;
    let client = |plain| Issued { plain, spend: Arc::clone(&spend), complete: Arc::clone(&complete) };
    World::new(plain.into_iter().map(client)).keep(prefix)
}

#[async_trait]
impl Client for Issued {
    async fn turn(&self, turn: u64) -> u64 {
        let (id, owner) = (Uuid::new_v4(), Uuid::new_v4());
        let key = self.plain.key(&format!("idem:t:{{{}}}:{id}", hex(turn)));
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(issued(&user(turn))).arg("PX").arg(3_600_000).arg("NX");
        let () = self.plain.command(&set).await;
        let mut spend = self.spend.prepare_invoke();
        spend.key(&key).arg(owner.as_bytes()).arg(Fingerprint::NONE.as_bytes()).arg(60_000).arg(86_400_000);
        spend.arg("").arg(id.to_string());
        let (code, ..): (String, u64, u64, Vec<u8>) = self.plain.run(&spend).await;
        assert_eq!(code, "accepted");
        let mut complete = self.complete.prepare_invoke();
        complete.key(&key).arg(owner.as_bytes()).arg(RESULT).arg(86_400_000);
        assert!(self.plain.run::<bool>(&complete).await);
        1
    }
}

/// The record of a new token, as the scripts read it.
fn issued(user: &str) -> Vec<u8> {
    let mut bytes = vec![1, b'I', 0, 0, 0, 0, 0];
    for millis in [1_800_000_u64, 0, 1_800_000, 0] {
        bytes.extend_from_slice(&millis.to_be_bytes());
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(Fingerprint::NONE.as_bytes());
    for name in ["", "order", user] {
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes
}

/// `SET` and the script that compares and deletes.
struct Compared {
    plain: Plain,
    consume: Arc<Script>,
}

pub(super) async fn literal_bare(setting: Setting) -> World {
    let consume = Arc::new(script("", SCRIPTS, "CONSUME"));
    let prefix = testkit::redis::prefix();
    let plain = Plain::many(&prefix, setting).await;
    World::new(plain.into_iter().map(|plain| Compared { plain, consume: Arc::clone(&consume) })).keep(prefix)
}

#[async_trait]
impl Client for Compared {
    async fn turn(&self, turn: u64) -> u64 {
        let (key, value) = (format!("order:token:{}", user(turn)), Uuid::new_v4().to_string());
        let mut set = redis::cmd("SET");
        let () = self.plain.command(set.arg(&key).arg(&value).arg("PX").arg(1_800_000)).await;
        let mut consume = self.consume.prepare_invoke();
        assert_eq!(self.plain.run::<i64>(consume.key(&key).arg(&value)).await, 1);
        1
    }
}

/// The script that claims a content, asked for a mark.
struct Claimed {
    plain: Plain,
    claim: Arc<Script>,
}

pub(super) async fn mark_bare(setting: Setting) -> World {
    let claim = Arc::new(script(text(SCRIPTS, "RECORD"), SCRIPTS, "CLAIM"));
    let prefix = testkit::redis::prefix();
    let plain = Plain::many(&prefix, setting).await;
    World::new(plain.into_iter().map(|plain| Claimed { plain, claim: Arc::clone(&claim) })).keep(prefix)
}

#[async_trait]
impl Client for Claimed {
    async fn turn(&self, turn: u64) -> u64 {
        let key = self.plain.key(&format!("idem:c:{{bench:md5:{}}}", hex(turn)));
        let mut claim = self.claim.prepare_invoke();
        claim.key(key).arg(Uuid::new_v4().as_bytes()).arg(&[0_u8; 32]).arg(60_000).arg(86_400_000);
        claim.arg(&[0_u8; 3]).arg(86_400_000);
        let (code, ..): (String, u64, u64, Vec<u8>) = self.plain.run(&claim).await;
        assert_eq!(code, "first");
        1
    }
}
