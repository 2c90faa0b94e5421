//! Which keys there are, and how long they live.

use std::time::Duration;

use onceward_backend::ErrorClass;
use onceward_oauth_client::{CodeLedger, FlowStore, TokenVault};

use crate::{LONG, beside, forget_all, id, keys, life, make, on, raw, value};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn every_key_lives_as_long_as_it_was_asked_to_and_no_longer() {
    let (store, prefix) = make().await;
    let (flow, code, account) = (id("flow"), id("code"), id("account"));
    let lives = async |family: &str, expected: Duration, what: &str| {
        let names = keys(&prefix).await;
        let key = names.iter().find(|key| key.starts_with(family)).unwrap();
        let (left, expected) = (life(&prefix, key).await, i64::try_from(expected.as_millis()).unwrap());
        assert!(left <= expected && left > expected - 20_000, "{what}: {left} ms, not {expected} ms");
    };
    assert!(store.insert(&flow, b"pending", LONG).await.unwrap());
    lives("oauth:flow:", LONG, "pending").await;
    assert!(store.replace(&flow, 1, b"running", LONG + LONG).await.unwrap());
    lives("oauth:flow:", LONG + LONG, "running").await;
    assert!(store.replace(&flow, 2, b"done", Duration::from_secs(60)).await.unwrap());
    lives("oauth:flow:", Duration::from_secs(60), "done").await;
    assert!(store.first_use(&code, DAY).await.unwrap());
    lives("oauth:code:", DAY, "code").await;
    assert!(!store.first_use(&code, 2 * DAY).await.unwrap());
    lives("oauth:code:", DAY, "code, used again").await;

    assert!(store.store_tokens_if(&account, None, b"tokens").await.unwrap());
    lives("oauth:token:", 100 * DAY, "tokens").await;
    let version = store.load_tokens(&account).await.unwrap().unwrap().version;
    let brief = beside(&prefix).await.with_token_life(2 * DAY);
    assert!(brief.store_tokens_if(&account, Some(version), b"newer").await.unwrap());
    lives("oauth:token:", 2 * DAY, "tokens, written again").await;
    assert!(store.delete_tokens(&account).await.unwrap());
    lives("oauth:token:", Duration::from_secs(60), "deleted tokens").await;
    assert_eq!(keys(&prefix).await.len(), 3);
}

#[tokio::test]
async fn lives_shorter_than_a_tick_and_longer_than_any_are_taken() {
    let (store, prefix) = make().await;
    assert!(store.insert(&id("short"), b"", Duration::from_nanos(1)).await.unwrap());
    assert!(store.first_use(&id("none"), Duration::ZERO).await.unwrap());
    assert!(store.insert(&id("long"), b"", Duration::MAX).await.unwrap());
    let longest = store.load(&id("long")).await.unwrap().unwrap().left;
    assert!(longest > 36_000 * DAY, "{longest:?}");
    for key in keys(&prefix).await {
        assert!(life(&prefix, &key).await != -1, "{key} lives for ever");
    }
}

#[tokio::test]
async fn keys_have_the_documented_names_and_one_call_touches_one() {
    let (store, prefix) = make().await;
    let one = id("one");
    store.insert(&one, b"", LONG).await.unwrap();
    assert_eq!(keys(&prefix).await, [format!("oauth:flow:{}", one.to_hex())]);
    store.replace(&one, 1, b"", LONG).await.unwrap();
    assert_eq!(keys(&prefix).await.len(), 1);
    store.first_use(&one, LONG).await.unwrap();
    assert_eq!(keys(&prefix).await[0], format!("oauth:code:{}", one.to_hex()));
    store.store_tokens_if(&one, None, b"").await.unwrap();
    assert_eq!(keys(&prefix).await[2], format!("oauth:token:{}", one.to_hex()));
    store.delete_tokens(&one).await.unwrap();
    assert_eq!(keys(&prefix).await.len(), 3);
}

#[tokio::test]
async fn deleted_tokens_leave_nothing_of_them() {
    let (store, prefix) = make().await;
    let account = id("account");
    store.store_tokens_if(&account, None, b"the sealed tokens").await.unwrap();
    store.delete_tokens(&account).await.unwrap();
    let [key] = keys(&prefix).await.try_into().unwrap();
    assert_eq!(value(&prefix, &key).await.len(), 17);
    assert!(store.load_tokens(&account).await.unwrap().is_none());
    for none in [account, id("nobody")] {
        assert!(!store.store_tokens_if(&none, Some(0), b"nothing has this version").await.unwrap());
    }
}

#[tokio::test]
async fn a_version_of_tokens_never_comes_back_not_even_after_redis_forgot_everything() {
    let (store, prefix) = make().await;
    let account = id("account");
    let mut seen = Vec::new();
    for _ in 0..20 {
        assert!(store.store_tokens_if(&account, None, b"tokens").await.unwrap());
        let version = store.load_tokens(&account).await.unwrap().unwrap().version;
        for old in &seen {
            assert!(!store.store_tokens_if(&account, Some(*old), b"late").await.unwrap());
        }
        seen.push(version);
        forget_all(&prefix).await;
        assert!(!store.store_tokens_if(&account, Some(version), b"late").await.unwrap());
    }
}

#[tokio::test]
async fn records_of_a_version_to_come_are_an_error_and_left_alone() {
    let (store, prefix) = make().await;
    let one = id("one");
    store.insert(&one, b"body", LONG).await.unwrap();
    store.first_use(&one, LONG).await.unwrap();
    store.store_tokens_if(&one, None, b"body").await.unwrap();
    let version = store.load_tokens(&one).await.unwrap().unwrap().version;
    let mut before = Vec::new();
    for key in keys(&prefix).await {
        let name = format!("{}{key}", prefix.as_str());
        raw::<()>(&prefix, on("SETRANGE", &name).arg(0).arg(b"\x02")).await;
        before.push(value(&prefix, &key).await);
    }
    assert_eq!(store.load(&one).await.unwrap_err().class(), ErrorClass::Corrupt);
    assert_eq!(store.load_tokens(&one).await.unwrap_err().class(), ErrorClass::Corrupt);
    assert!(!store.insert(&one, b"other", LONG).await.unwrap());
    assert!(!store.replace(&one, 1, b"other", LONG).await.unwrap());
    assert!(!store.first_use(&one, LONG).await.unwrap(), "what is not understood counts as used");
    assert!(!store.store_tokens_if(&one, None, b"other").await.unwrap());
    assert!(!store.store_tokens_if(&one, Some(version), b"other").await.unwrap());
    for (key, bytes) in keys(&prefix).await.iter().zip(before) {
        assert_eq!(value(&prefix, key).await, bytes, "{key}");
    }
}
