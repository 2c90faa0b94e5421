//! The contract on Redis.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use onceward_backend::Redis;
use onceward_idempotency::RedisStore;
use testkit::redis::Prefix;

async fn make() -> (RedisStore, Prefix) {
    let prefix = testkit::redis::prefix();
    let redis = Redis::connect(prefix.url()).await.unwrap().with_prefix(prefix.as_str());
    (RedisStore::new(redis), prefix)
}

onceward_idempotency::conformance!(make);
