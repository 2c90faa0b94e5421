//! Round trips, and answers that the wire loses.

use std::{sync::Arc, time::Duration};

use onceward_oauth_client::{CodeLedger, FlowStore, TokenVault, store::RedisStore};
use testkit::{Mode, Proxy};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{LONG, at, behind_proxy, beside, id, until};

const METHODS: [&str; 8] =
    ["insert", "load", "replace", "first_use", "store_tokens", "load_tokens", "store_tokens again", "delete_tokens"];

/// Calls every method on ids of their own, `before` each and `after` each; all of them must find what the others did.
async fn every_method(store: &RedisStore, name: &str, before: impl Fn(&str), mut after: impl FnMut(&str)) {
    let (flow, code, account) = (id(&format!("flow {name}")), id(&format!("code {name}")), id(&format!("user {name}")));
    let mut version = None;
    for method in METHODS {
        before(method);
        match method {
            "insert" => assert!(store.insert(&flow, b"one", LONG).await.unwrap(), "{method}"),
            "load" => assert_eq!(store.load(&flow).await.unwrap().unwrap().body, b"one"),
            "replace" => assert!(store.replace(&flow, 1, b"two", LONG).await.unwrap(), "{method}"),
            "first_use" => assert!(store.first_use(&code, LONG).await.unwrap(), "{method}"),
            "load_tokens" => version = store.load_tokens(&account).await.unwrap().map(|stored| stored.version),
            "delete_tokens" => assert!(store.delete_tokens(&account).await.unwrap(), "{method}"),
            _ => assert!(store.store_tokens_if(&account, version, b"tokens").await.unwrap(), "{method}"),
        }
        after(method);
    }
    // Another caller meets what a caller meets who comes second.
    let entry = store.load(&flow).await.unwrap().unwrap();
    assert_eq!((entry.version, entry.body.as_slice()), (2, &b"two"[..]));
    assert!(!store.insert(&flow, b"one", LONG).await.unwrap());
    assert!(!store.replace(&flow, 1, b"two", LONG).await.unwrap());
    assert!(!store.first_use(&code, LONG).await.unwrap());
    assert!(!store.store_tokens_if(&account, version, b"tokens").await.unwrap());
    assert!(!store.delete_tokens(&account).await.unwrap());
    assert!(store.load_tokens(&account).await.unwrap().is_none());
}

#[tokio::test]
async fn every_method_is_one_round_trip_and_a_purge_none() {
    let (store, _prefix, proxy) = behind_proxy().await;
    let mut fewest = [u64::MAX; METHODS.len()];
    // The server may have to learn a script, also again if somebody made it forget them meanwhile.
    for round in 0..4 {
        let mut at = 0;
        let count = |_: &str| {
            fewest[at] = fewest[at].min(proxy.round_trips());
            at += 1;
        };
        every_method(&store, &round.to_string(), |_| proxy.reset_counts(), count).await;
    }
    for (method, trips) in METHODS.iter().zip(fewest) {
        assert_eq!(trips, 1, "{method}");
    }
    proxy.reset_counts();
    assert_eq!((store.purge_flows(100).await.unwrap(), store.purge_codes(100).await.unwrap()), (0, 0));
    assert_eq!(proxy.round_trips(), 0);
}

#[tokio::test]
async fn a_lost_answer_is_asked_again_and_the_same() {
    let (store, _prefix, proxy) = behind_proxy().await;
    // So that the server knows the scripts.
    every_method(&store, "first", |_| {}, |_| {}).await;
    for spoil in [Mode::DropReplyTo(b"EVALSHA".to_vec()), Mode::CutBefore(b"EVALSHA".to_vec())] {
        let connections = proxy.connections();
        let lost = |method: &str| assert_eq!(proxy.mode(), Mode::Pass, "the answer to {method} was not lost");
        every_method(&store, &format!("{spoil:?}"), |_| proxy.set(spoil.clone()), lost).await;
        assert_eq!(proxy.connections() - connections, METHODS.len() as u64, "one for each lost answer");
    }
}

/// The answer to a deletion is lost, and somebody logs in before it is asked again. Several times, since the question may
/// come before the login.
#[tokio::test]
async fn a_repeated_deletion_does_not_delete_what_came_after_it() {
    let (store, prefix, proxy) = behind_proxy().await;
    every_method(&store, "first", |_| {}, |_| {}).await;
    let direct = beside(&prefix).await;
    for round in 0..10 {
        let account = id(&format!("account {round}"));
        assert!(direct.store_tokens_if(&account, None, b"old").await.unwrap());
        proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
        let deletion = tokio::spawn({
            let store = store.clone();
            async move { store.delete_tokens(&account).await }
        });
        until(async || direct.load_tokens(&account).await.unwrap().is_none()).await;
        proxy.set(Mode::Stall);
        assert!(direct.store_tokens_if(&account, None, b"new").await.unwrap());
        let version = direct.load_tokens(&account).await.unwrap().unwrap().version;
        assert!(direct.store_tokens_if(&account, Some(version), b"newer").await.unwrap());
        proxy.set(Mode::Pass);
        assert!(deletion.await.unwrap().unwrap(), "there were tokens, and this call deleted them");
        assert_eq!(direct.load_tokens(&account).await.unwrap().unwrap().body, b"newer");
        assert!(direct.delete_tokens(&account).await.unwrap(), "another call does delete them");
    }
}

#[derive(Clone, Copy, Debug)]
enum Race {
    Insert,
    Replace,
    FirstUse,
    Store,
    Delete,
}

/// 32 tasks race for one thing on four connections, each of which breaks in the middle with an answer on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_through_breaking_wires_has_one_winner() {
    let (warm, prefix, _proxy) = behind_proxy().await;
    every_method(&warm, "first", |_| {}, |_| {}).await;
    for race in [Race::Insert, Race::Replace, Race::FirstUse, Race::Store, Race::Delete] {
        let target = id(&format!("{race:?}"));
        match race {
            Race::Replace => assert!(warm.insert(&target, b"", LONG).await.unwrap()),
            Race::Delete => assert!(warm.store_tokens_if(&target, None, b"").await.unwrap()),
            _ => {}
        }
        let start = Arc::new(Barrier::new(32));
        let (mut tasks, mut proxies) = (JoinSet::new(), Vec::new());
        for _ in 0..4 {
            let proxy = Proxy::in_front_of(prefix.url()).await;
            let store = at(proxy.url(), &prefix).await;
            proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
            for _ in 0..8 {
                let (store, start) = (store.clone(), Arc::clone(&start));
                tasks.spawn(async move {
                    start.wait().await;
                    match race {
                        Race::Insert => store.insert(&target, b"same", LONG).await,
                        Race::Replace => store.replace(&target, 1, b"same", LONG).await,
                        Race::FirstUse => store.first_use(&target, LONG).await,
                        Race::Store => store.store_tokens_if(&target, None, b"same").await,
                        Race::Delete => store.delete_tokens(&target).await,
                    }
                });
            }
            proxies.push(proxy);
        }
        let answers: Vec<_> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|won| **won).count(), 1, "{race:?}");
        assert!(proxies.iter().all(|proxy| proxy.connections() > 1), "{race:?}: a wire did not break");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_of_its_own() {
    let (store, _prefix, proxy) = behind_proxy().await;
    assert!(store.insert(&id("a"), b"", LONG).await.unwrap());
    proxy.settle(Mode::Refuse).await;
    let away = tokio::time::timeout(Duration::from_secs(20), store.insert(&id("b"), b"", LONG)).await.unwrap();
    assert!(away.is_err());
    proxy.settle(Mode::Pass).await;
    until(async || store.insert(&id("c"), b"", LONG).await.is_ok()).await;
    assert!(store.load(&id("a")).await.unwrap().is_some());
}
