//! The store contract on Redis, and what only Redis has: keys, lives, round trips, answers that the wire loses.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "a test program"
)]

#[path = "../http/app.rs"]
mod app;
#[path = "../http/fixture.rs"]
mod fixture;
mod keys;
mod logins;
mod losing;
mod secrets;
mod wire;

use std::time::Duration;

use onceward_backend::{
    Redis,
    redis::{Client, Cmd, FromRedisValue, cmd},
};
use onceward_oauth_client::{Digest, store::RedisStore};
use testkit::{Proxy, eventually, redis::Prefix};

pub const LONG: Duration = Duration::from_secs(600);

async fn at(url: &str, prefix: &Prefix) -> RedisStore {
    RedisStore::new(Redis::connect(url).await.unwrap().with_prefix(prefix.as_str()))
}

/// A store, and the guard of its keys.
pub async fn make() -> (RedisStore, Prefix) {
    let prefix = testkit::redis::prefix();
    (at(prefix.url(), &prefix).await, prefix)
}

/// The same through a proxy.
pub async fn behind_proxy() -> (RedisStore, Prefix, Proxy) {
    let prefix = testkit::redis::prefix();
    let proxy = Proxy::in_front_of(prefix.url()).await;
    (at(proxy.url(), &prefix).await, prefix, proxy)
}

/// Another handle on the store, with a connection of its own that no proxy spoils.
pub async fn beside(prefix: &Prefix) -> RedisStore {
    at(prefix.url(), prefix).await
}

/// Comes back when it is so.
pub async fn until(condition: impl AsyncFn() -> bool) {
    let probe = async || if condition().await { Ok(()) } else { Err("not yet") };
    eventually(Duration::from_secs(20), probe).await;
}

pub fn id(name: &str) -> Digest {
    Digest::of("test", &[name.as_bytes()])
}

/// Another client, which knows nothing of this crate.
pub async fn raw<T: FromRedisValue>(prefix: &Prefix, command: &Cmd) -> T {
    let mut connection = Client::open(prefix.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

pub fn on(name: &str, key: &str) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

/// All keys of the test, without its prefix.
pub async fn keys(prefix: &Prefix) -> Vec<String> {
    let found: Vec<String> = raw(prefix, &on("KEYS", &format!("{}*", prefix.as_str()))).await;
    let mut names: Vec<_> = found.iter().map(|key| key.strip_prefix(prefix.as_str()).unwrap().to_owned()).collect();
    names.sort();
    names
}

pub async fn value(prefix: &Prefix, key: &str) -> Vec<u8> {
    raw(prefix, &on("GET", &format!("{}{key}", prefix.as_str()))).await
}

/// Milliseconds; -1 for a key that lives for ever.
pub async fn life(prefix: &Prefix, key: &str) -> i64 {
    raw(prefix, &on("PTTL", &format!("{}{key}", prefix.as_str()))).await
}

/// What a server forgets that loses everything.
pub async fn forget_all(prefix: &Prefix) {
    for key in keys(prefix).await {
        raw::<()>(prefix, &on("DEL", &format!("{}{key}", prefix.as_str()))).await;
    }
}

onceward_oauth_client::conformance!(make);
