//! The literal mode.

use std::sync::Arc;

use super::{LIFE, Store};
use crate::conformance::{MINUTE, ms, race, skip, until};
use crate::{Consume, TokenId};

fn unique() -> String {
    format!("order:token:{}", TokenId::random())
}

pub async fn a_bare_token_is_consumed_once_and_only_by_its_exact_value(store: Store) {
    if !store.capabilities().bare {
        return skip("literal mode");
    }
    let (key, other) = (unique(), unique());
    let consume = async |key: &str, value: &str| store.consume_bare(key, value).await.unwrap();
    store.issue_bare(&key, "one", LIFE).await.unwrap();
    assert_eq!(consume(&other, "one").await, Consume::Absent);
    for wrong in ["on", "one1", "ONE", ""] {
        assert_eq!(consume(&key, wrong).await, Consume::Different, "{wrong:?}");
    }
    assert_eq!(consume(&key, "one").await, Consume::Consumed);
    assert_eq!(consume(&key, "one").await, Consume::Absent);

    // A stale tab must not destroy the fresh tab's token.
    store.issue_bare(&key, "old tab", LIFE).await.unwrap();
    store.issue_bare(&key, "new tab", LIFE).await.unwrap();
    assert_eq!(consume(&key, "old tab").await, Consume::Different);
    assert_eq!(consume(&key, "new tab").await, Consume::Consumed);
}

pub async fn of_32_concurrent_consumers_exactly_one_consumes(store: Store) {
    if !store.capabilities().bare {
        return skip("literal mode");
    }
    let key = unique();
    for _ in 0..4 {
        store.issue_bare(&key, "value", LIFE).await.unwrap();
        let answers = race(32, |_| {
            let (store, key) = (Arc::clone(&store), key.clone());
            async move { store.consume_bare(&key, "value").await.unwrap() }
        });
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| **answer == Consume::Consumed).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| **answer == Consume::Absent).count(), 31, "{answers:?}");
    }
}

pub async fn a_bare_token_lives_for_its_time(store: Store) {
    if !store.capabilities().bare {
        return skip("literal mode");
    }
    let key = unique();
    store.issue_bare(&key, "value", ms(30)).await.unwrap();
    until("expired", async || store.consume_bare(&key, "another").await.unwrap() == Consume::Absent).await;
    assert_eq!(store.consume_bare(&key, "value").await.unwrap(), Consume::Absent);
    store.issue_bare(&key, "value", MINUTE).await.unwrap();
    assert_eq!(store.consume_bare(&key, "value").await.unwrap(), Consume::Consumed);
}
