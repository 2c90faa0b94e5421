//! The contract on Redis.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests race tasks")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use onceward_backend::redis::{Cmd, FromRedisValue, Script, cmd};
use onceward_backend::{KeyRing, Redis, RedisScript};
use onceward_idempotency::{
    Consume, Dedup, DedupConfig, Fingerprint, FirstTime, FormTokens, RedisStore, Spend, TokenConfig, TokenId, TokenMode,
};
use testkit::redis::Prefix;
use testkit::{Mode, Proxy};

async fn make() -> (RedisStore, Prefix) {
    let prefix = testkit::redis::prefix();
    let redis = Redis::connect(prefix.url()).await.unwrap().with_prefix(prefix.as_str());
    (RedisStore::new(redis), prefix)
}

onceward_idempotency::conformance!(make);

/// Another client, which knows nothing of this crate.
async fn raw<T: FromRedisValue>(prefix: &Prefix, command: &Cmd) -> T {
    let client = onceward_backend::redis::Client::open(prefix.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

fn on(name: &str, key: &str) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

async fn keys(prefix: &Prefix) -> Vec<String> {
    let mut keys: Vec<String> = raw(prefix, &on("KEYS", &format!("{}*", prefix.as_str()))).await;
    keys.sort();
    keys
}

fn shown() -> Fingerprint {
    Fingerprint::of("shown")
}

fn tokens(store: RedisStore, config: TokenConfig) -> FormTokens {
    FormTokens::new(Arc::new(store), KeyRing::new(1, [7; 32])).with_config(config).unwrap()
}

/// The tokens and their prefix for bare keys, which is never that of the handle.
async fn bare() -> (FormTokens, Prefix, String) {
    let (store, prefix) = make().await;
    let bare = format!("{}order:token:", prefix.as_str());
    let config = TokenConfig::default().with_bare_prefix(&bare);
    let tokens = tokens(RedisStore::new(Redis::connect(prefix.url()).await.unwrap().with_prefix("elsewhere:")), config);
    drop(store);
    (tokens, prefix, bare)
}

/// Held by the tests that make the server forget all scripts and by the one that counts trips.
static SCRIPTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn the_literal_mode_is_prefix_user_uuid_and_half_an_hour_byte_for_byte() {
    let (tokens, prefix, bare) = bare().await;
    let value = tokens.issue_bare("10086").await.unwrap();
    let key = format!("{bare}10086");
    assert_eq!(keys(&prefix).await, std::slice::from_ref(&key), "exactly PREFIX + userId and nothing beside it");
    let held: Vec<u8> = raw(&prefix, &on("GET", &key)).await;
    assert_eq!((held.len(), held.as_slice()), (36, value.as_bytes()), "a bare UUID");
    assert_eq!(value.parse::<TokenId>().unwrap().to_string(), value);
    let ttl: i64 = raw(&prefix, &on("PTTL", &key)).await;
    assert!(ttl > 0 && ttl <= 1_800_000, "{ttl}");
    assert_eq!(tokens.consume("10086", &value).await.unwrap(), Consume::Consumed);
    assert_eq!(keys(&prefix).await, [""; 0]);

    let long =
        tokens.clone().with_config(TokenConfig::default().with_bare_prefix(&bare).with_ttl(Duration::from_secs(7200)));
    long.unwrap().issue_bare("10086").await.unwrap();
    let ttl: i64 = raw(&prefix, &on("PTTL", &key)).await;
    assert!(ttl > 0 && ttl <= 1_800_000, "never longer than half an hour, but {ttl}");
}

#[tokio::test]
async fn the_literal_mode_understands_and_is_understood_by_another_client() {
    let (tokens, prefix, bare) = bare().await;
    let key = format!("{bare}alice");
    // Theirs issues, ours consumes.
    let theirs = "0b9a3b56-1f7e-4c51-9d3a-0c6f2f5f9b11";
    raw::<()>(&prefix, on("SET", &key).arg(theirs).arg("EX").arg(1800)).await;
    let ours = TokenId::from_bytes([1; 16]).to_string();
    assert_eq!(tokens.consume("alice", &ours).await.unwrap(), Consume::Different);
    assert_eq!(tokens.consume("alice", theirs).await.unwrap(), Consume::Consumed);
    // Ours issues, theirs consumes.
    let value = tokens.issue_bare("alice").await.unwrap();
    let compare_and_delete = Script::new(
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
    );
    let client = onceward_backend::redis::Client::open(prefix.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for expected in [1, 0] {
        let deleted: i64 = compare_and_delete.key(&key).arg(&value).invoke_async(&mut connection).await.unwrap();
        assert_eq!(deleted, expected);
    }
    assert_eq!(tokens.consume("alice", &value).await.unwrap(), Consume::Absent);
}

#[tokio::test]
async fn a_lost_reply_of_the_literal_mode_is_surfaced_and_not_repeated() {
    let _scripts = SCRIPTS.lock().await;
    let (_, prefix, bare) = bare().await;
    let proxy = Proxy::in_front_of(prefix.url()).await;
    let store = RedisStore::new(Redis::connect(proxy.url()).await.unwrap());
    let tokens = tokens(store, TokenConfig::default().with_bare_prefix(&bare));
    // So that the server knows the script.
    tokens.consume("alice", &TokenId::from_bytes([1; 16]).to_string()).await.unwrap();
    let value = tokens.issue_bare("alice").await.unwrap();
    proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
    let lost = tokens.consume("alice", &value).await.unwrap_err();
    assert!(lost.is_unknown() && !lost.is_retryable(), "{lost:?}");
    assert_eq!(keys(&prefix).await, [""; 0], "it was consumed, and only the caller can decide what that means");
}

#[tokio::test]
async fn a_lost_reply_of_two_phases_is_asked_again() {
    let _scripts = SCRIPTS.lock().await;
    let (_, prefix) = make().await;
    let proxy = Proxy::in_front_of(prefix.url()).await;
    let redis = Redis::connect(proxy.url()).await.unwrap().with_prefix(prefix.as_str());
    let tokens = tokens(RedisStore::new(redis.clone()), TokenConfig::default());
    let dedup = Dedup::new(Arc::new(RedisStore::new(redis)), "invoices").unwrap();
    // The first round makes the server know the scripts; then one reply after the other is lost.
    for lost in 0..=6_u8 {
        let lose = |at: u8| {
            if lost == at {
                proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
            }
        };
        let token = tokens.issue("alice", &shown()).await.unwrap();
        lose(1);
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        assert_eq!((claim.attempt(), claim.is_takeover()), (1, false), "reply {lost}");
        lose(2);
        claim.release().await.unwrap();
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        lose(3);
        claim.renew().await.unwrap();
        lose(4);
        claim.complete("done").await.unwrap();
        lose(5);
        let FirstTime::First(work) = dedup.first_time(&[lost]).await.unwrap() else { panic!("reply {lost}") };
        lose(6);
        work.complete().await.unwrap();
        assert!(matches!(dedup.first_time(&[lost]).await.unwrap(), FirstTime::Done));
        assert_eq!(proxy.mode(), Mode::Pass, "reply {lost} was lost");
    }
}

#[tokio::test]
async fn every_method_is_one_round_trip() {
    let _scripts = SCRIPTS.lock().await;
    let (_, prefix) = make().await;
    let proxy = Proxy::in_front_of(prefix.url()).await;
    let redis = Redis::connect(proxy.url()).await.unwrap().with_prefix(prefix.as_str());
    let config = TokenConfig::default().with_mode(TokenMode::LatestWins);
    let tokens = tokens(RedisStore::new(redis.clone()), config);
    let verified = DedupConfig::default().with_verified(true);
    let dedup = Dedup::new(Arc::new(RedisStore::new(redis)), "invoices").unwrap().with_config(verified).unwrap();
    for round in 0..2 {
        let trips = |calls: u64, what: &str| {
            // In the first round the server learns the scripts.
            assert!(round == 0 || proxy.round_trips() == calls, "{what}: {} round trips", proxy.round_trips());
            proxy.reset_counts();
        };
        proxy.reset_counts();
        let token = tokens.issue("alice", &shown()).await.unwrap();
        trips(1, "issue");
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        trips(1, "spend");
        claim.renew().await.unwrap();
        trips(1, "renew");
        claim.release().await.unwrap();
        trips(1, "release");
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        proxy.reset_counts();
        claim.complete("done").await.unwrap();
        trips(1, "complete");
        let value = tokens.issue_bare("alice").await.unwrap();
        trips(1, "issue_bare");
        tokens.consume("alice", &value).await.unwrap();
        trips(1, "consume");
        let FirstTime::First(work) = dedup.first_time(b"content").await.unwrap() else { panic!() };
        trips(1, "first_time");
        work.release().await.unwrap();
        trips(1, "release of a content");
        tokens.open("alice", token.as_str()).unwrap();
        trips(0, "open");
    }
}

/// What the time to live of each state is, since it carries the lease.
#[tokio::test]
async fn a_record_lives_for_its_lease_and_its_tail() {
    let (store, prefix) = make().await;
    let second = Duration::from_secs(1);
    let config =
        TokenConfig::default().with_lease(100 * second).with_tail(10_000 * second).with_retention(50_000 * second);
    let tokens = tokens(store, config);
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let [key] = keys(&prefix).await.try_into().unwrap();
    let lives = async |expected: i64, what: &str| {
        let ttl: i64 = raw(&prefix, &on("PTTL", &key)).await;
        assert!(ttl <= expected * 1000 && ttl > expected * 1000 - 20_000, "{what}: {ttl} ms, not {expected} s");
    };
    lives(1800 + 1800, "life and tombstone").await;
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    lives(100 + 10_000, "lease and tail").await;
    claim.renew().await.unwrap();
    lives(100 + 10_000, "lease and tail, renewed").await;
    claim.release().await.unwrap();
    lives(1800 + 1800, "the rest of the life and tombstone").await;
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    claim.complete("done").await.unwrap();
    lives(50_000, "retention").await;
}

#[tokio::test]
async fn keys_have_the_documented_names_and_show_no_user() {
    let (store, prefix) = make().await;
    let tokens = tokens(store.clone(), TokenConfig::default().with_mode(TokenMode::LatestWins));
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let found = keys(&prefix).await;
    let (tag, id) = found[0].rsplit_once(':').unwrap();
    assert_eq!(id, token.id().to_string());
    assert_eq!(found[1], format!("{tag}:latest"));
    let tag = tag.strip_prefix(&format!("{}idem:t:", prefix.as_str())).unwrap();
    assert!(tag.starts_with('{') && tag.ends_with('}') && tag.len() == 34 && !tag.contains("alice"), "{tag}");
    let pointed: String = raw(&prefix, &on("GET", &found[1])).await;
    assert_eq!(pointed, id);

    let (store, prefix) = make().await;
    let dedup = Dedup::new(Arc::new(store), "invoices").unwrap();
    dedup.mark(b"abc").await.unwrap();
    let expected = format!("{}idem:c:{{invoices:md5:900150983cd24fb0d6963f7d28e17f72}}", prefix.as_str());
    assert_eq!(keys(&prefix).await, [expected]);
}

#[tokio::test]
async fn what_redis_forgot_is_refused_and_never_spent_again() {
    let (store, prefix) = make().await;
    let tokens = tokens(store, TokenConfig::default());
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    for key in keys(&prefix).await {
        raw::<()>(&prefix, &on("DEL", &key)).await;
    }
    assert!(matches!(tokens.spend("alice", token.as_str(), &shown()).await.unwrap(), Spend::Unknown));
    assert!(matches!(claim.complete("done").await, Err(onceward_idempotency::Error::LeaseLost)));
    assert!(matches!(tokens.spend("alice", token.as_str(), &shown()).await.unwrap(), Spend::Unknown));
}

#[tokio::test]
async fn a_server_that_lost_its_scripts_is_told_them_again() {
    let _scripts = SCRIPTS.lock().await;
    let (store, prefix) = make().await;
    let tokens = tokens(store, TokenConfig::default());
    for _ in 0..3 {
        let token = tokens.issue("alice", &shown()).await.unwrap();
        raw::<()>(&prefix, &on("SCRIPT", "FLUSH")).await;
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        raw::<()>(&prefix, &on("SCRIPT", "FLUSH")).await;
        claim.complete("done").await.unwrap();
    }
}

#[tokio::test]
async fn a_record_of_a_version_to_come_is_an_error_and_left_alone() {
    let (store, prefix) = make().await;
    let tokens = tokens(store, TokenConfig::default());
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let [key] = keys(&prefix).await.try_into().unwrap();
    raw::<()>(&prefix, on("SETRANGE", &key).arg(0).arg(b"\x02")).await;
    let before: Vec<u8> = raw(&prefix, &on("GET", &key)).await;
    assert!(tokens.spend("alice", token.as_str(), &shown()).await.is_err());
    assert!(tokens.running(Duration::ZERO, 10).await.unwrap().is_empty());
    let after: Vec<u8> = raw(&prefix, &on("GET", &key)).await;
    assert_eq!(after, before);
}

static DEDUCT: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::once(
        r"
local stock = tonumber(redis.call('GET', KEYS[1]) or '0')
local wanted = tonumber(ARGV[1])
if stock < wanted then return -1 end
return redis.call('DECRBY', KEYS[1], wanted)",
    )
});

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_concurrent_deductions_by_ones_own_script_none_oversells() {
    let prefix = testkit::redis::prefix();
    let redis = Redis::connect(prefix.url()).await.unwrap().with_prefix(prefix.as_str());
    let key = redis.key("stock:sku-1");
    redis.command::<()>(on("SET", &key).arg(100)).await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (redis, key) = (redis.clone(), key.clone());
            tokio::spawn(async move { redis.run::<i64>(&DEDUCT, &[key], &[b"3"]).await.unwrap() })
        })
        .collect();
    let mut left = Vec::new();
    for task in tasks {
        left.push(task.await.unwrap());
    }
    left.retain(|left| *left >= 0);
    left.sort_unstable();
    assert_eq!(
        left,
        (0..33).map(|n| 1 + 3 * n).collect::<Vec<_>>(),
        "33 times 3 of 100, each from what the last one left"
    );
    assert_eq!(redis.command::<i64>(&on("GET", &key)).await.unwrap(), 1);
}
