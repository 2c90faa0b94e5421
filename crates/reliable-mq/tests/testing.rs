//! What the helpers for tests say when something is not as it should be.
#![allow(clippy::unwrap_used, clippy::clone_on_ref_ptr, reason = "a test program")]

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use onceward_backend::{RetryPolicy, conformance::block_on};
use onceward_reliable_mq::{
    Broker, MemoryBroker, MemoryStore, Message, MessageFilter, Relay, RelayOptions, Store, Subscription, testing,
};

async fn complaint<T>(work: impl Future<Output = T>) -> String {
    let panic = AssertUnwindSafe(work).catch_unwind().await.err().unwrap();
    panic.downcast_ref::<String>().unwrap().clone()
}

fn relay(store: &Arc<MemoryStore>, broker: &Arc<MemoryBroker>) -> Relay {
    let retry = RetryPolicy::exponential().with_base(Duration::ZERO).with_attempts(u32::MAX);
    let options = RelayOptions::default().with_allow_volatile(true).with_retry(retry);
    Relay::new(store.clone(), broker.clone(), options).unwrap()
}

#[test]
fn a_failure_names_its_test_and_what_there_is_instead() {
    block_on(async {
        let store = MemoryStore::new();
        let all = MessageFilter::default();
        let nothing = complaint(testing::assert_enqueued(&store, &all.clone().with_topic("a"))).await;
        assert!(nothing.contains("tests/testing.rs:") && nothing.ends_with("the outbox is empty"), "{nothing}");
        let one = Message::to("b").key("k").text("hidden").unwrap();
        store.enqueue(std::slice::from_ref(&one)).await.unwrap();
        let message = testing::assert_enqueued(&store, &all).await;
        assert_eq!((message.key(), &message.payload()[..]), (Some("k"), &b"hidden"[..]));
        testing::assert_nothing_enqueued(&store, &all.clone().with_topic("a")).await;
        let other = complaint(testing::assert_enqueued(&store, &all.clone().with_topic("a"))).await;
        let line = format!("{}: b, key k, pending", message.id);
        assert!(other.contains("0 messages") && other.contains(&line) && !other.contains("hidden"), "{other}");
        let some = complaint(testing::assert_nothing_enqueued(&store, &all)).await;
        assert!(some.contains("1 messages") && some.contains("tests/testing.rs:") && some.contains(&line), "{some}");
        store.enqueue(&[one]).await.unwrap();
        assert!(complaint(testing::assert_enqueued(&store, &all)).await.contains("2 messages"));
    });
}

#[test]
fn what_is_due_is_sent_without_a_wait_and_within_bounds() {
    block_on(async {
        let (store, broker) = (Arc::new(MemoryStore::new()), Arc::new(MemoryBroker::new()));
        broker.subscribe(&Subscription::new("queue").topic("t")).await.unwrap();
        let text = |topic: &str| Message::to(topic).text("").unwrap();
        let later = Message::to("t").delay(Duration::from_secs(3600)).text("").unwrap();
        store.enqueue(&[text("t"), later, text("t")]).await.unwrap();
        assert_eq!(testing::drain_due(&relay(&store, &broker), 2).await.sent, 2);
        assert_eq!(testing::drain_due(&relay(&store, &broker), 1).await.sent, 0, "another relay has the lane");
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.hot, counts.delayed), (0, 1));
        store.enqueue(&[text("nobody")]).await.unwrap();
        let endless = complaint(testing::drain_due(&relay(&store, &broker), 5)).await;
        assert!(endless.contains("after 5 rounds") && endless.contains("tests/testing.rs:"), "{endless}");
    });
}
