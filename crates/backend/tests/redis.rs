//! Scripts and errors on Redis.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is the report; tests spawn to race")]

use std::sync::LazyLock;

use onceward_backend::{ErrorClass, Redis, RedisScript, redis};
use testkit::{Mode, Proxy};

/// Counts its runs, so that a repeat shows.
const COUNT: &str = "return redis.call('INCR', KEYS[1])";
static REPEATABLE: LazyLock<RedisScript> = LazyLock::new(|| RedisScript::repeatable(COUNT));
static ONCE: LazyLock<RedisScript> = LazyLock::new(|| RedisScript::once(COUNT));
static DEDUCT: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::once(
        "local left = tonumber(redis.call('GET', KEYS[1]) or '0')
         local wanted = tonumber(ARGV[1])
         if left < wanted then return -1 end
         return redis.call('DECRBY', KEYS[1], wanted)",
    )
});

/// Held by the test that makes the server forget all scripts and by the one that counts trips.
static SCRIPTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn connect(prefix: &testkit::redis::Prefix, url: &str) -> Redis {
    Redis::connect(url).await.unwrap().with_prefix(prefix.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_all_or_nothing_under_a_race() {
    let prefix = testkit::redis::prefix();
    let redis = connect(&prefix, prefix.url()).await;
    let key = redis.key("stock");
    let () = redis.command(redis::cmd("SET").arg(&key).arg(100)).await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (redis, key) = (redis.clone(), key.clone());
            tokio::spawn(async move { redis.run::<i64>(&DEDUCT, &[key], &[b"3"]).await.unwrap() })
        })
        .collect();
    let mut sold = 0;
    for task in tasks {
        sold += i64::from(task.await.unwrap() >= 0);
    }
    let left: i64 = redis.command(redis::cmd("GET").arg(&key)).await.unwrap();
    assert_eq!((sold, left), (33, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_the_server_forgot_is_loaded_again() {
    let _scripts = SCRIPTS.lock().await;
    let prefix = testkit::redis::prefix();
    let redis = connect(&prefix, prefix.url()).await;
    let key = redis.key("n");
    assert_eq!(redis.run::<i64>(&ONCE, std::slice::from_ref(&key), &[]).await.unwrap(), 1);
    let () = redis.command(redis::cmd("SCRIPT").arg("FLUSH")).await.unwrap();
    assert_eq!(redis.run::<i64>(&ONCE, std::slice::from_ref(&key), &[]).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_script_costs_one_round_trip() {
    let _scripts = SCRIPTS.lock().await;
    let prefix = testkit::redis::prefix();
    let proxy = Proxy::in_front_of(prefix.url()).await;
    let redis = connect(&prefix, proxy.url()).await;
    let key = redis.key("n");
    redis.run::<i64>(&ONCE, std::slice::from_ref(&key), &[]).await.unwrap();
    proxy.reset_counts();
    redis.run::<i64>(&ONCE, std::slice::from_ref(&key), &[]).await.unwrap();
    assert_eq!(proxy.round_trips(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_repeatable_script_is_sent_again_after_a_lost_reply() {
    let prefix = testkit::redis::prefix();
    let proxy = Proxy::in_front_of(prefix.url()).await;
    let redis = connect(&prefix, proxy.url()).await;
    let (once, repeatable) = (redis.key("once"), redis.key("repeatable"));
    redis.run::<i64>(&ONCE, std::slice::from_ref(&once), &[]).await.unwrap();

    proxy.set(Mode::DropReplyTo(once.clone().into_bytes()));
    let error = redis.run::<i64>(&ONCE, std::slice::from_ref(&once), &[]).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unknown, "it was sent, and may have run");

    let direct = connect(&prefix, prefix.url()).await;
    let count: i64 = direct.command(redis::cmd("GET").arg(&once)).await.unwrap();
    assert_eq!(count, 2, "it did run, once");

    testkit::eventually(std::time::Duration::from_secs(5), async || {
        redis.command::<String>(&redis::cmd("PING")).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    proxy.set(Mode::DropReplyTo(repeatable.clone().into_bytes()));
    let count = redis.run::<i64>(&REPEATABLE, std::slice::from_ref(&repeatable), &[]).await.unwrap();
    assert_eq!(count, 2, "sent again after the reply was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_classified() {
    let prefix = testkit::redis::prefix();
    let redis = connect(&prefix, prefix.url()).await;
    let key = redis.key("text");
    let () = redis.command(redis::cmd("SET").arg(&key).arg("not a number")).await.unwrap();
    let refused = redis.run::<i64>(&ONCE, std::slice::from_ref(&key), &[]).await.unwrap_err();
    assert_eq!((refused.class(), refused.backend()), (ErrorClass::Refused, "redis"));
    let corrupt = redis.command::<i64>(redis::cmd("GET").arg(&key)).await.unwrap_err();
    assert_eq!(corrupt.class(), ErrorClass::Corrupt);

    let proxy = Proxy::in_front_of(prefix.url()).await;
    proxy.settle(Mode::Refuse).await;
    let unavailable = Redis::connect(proxy.url()).await.unwrap_err();
    assert_eq!(unavailable.class(), ErrorClass::Unavailable);
    let wrong = Redis::connect("not a url").await.unwrap_err();
    assert_eq!(wrong.class(), ErrorClass::Refused);
}
