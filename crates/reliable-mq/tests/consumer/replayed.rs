//! What was replayed out of an outbox, and what an inbox still knows of it.

use std::{sync::Arc, time::Duration};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{
    Consumed, Consumer, Envelope, MemoryBroker, MemoryStore, Message, MessageId, Outcome, Store,
    store::{Budget, History, Reach, Verdict},
};

use crate::{
    Fixture, note, options, replayed_cases::a_replay_that_the_inbox_may_have_forgotten_is_parked, subscription,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A message that was replayed out of an outbox so.
async fn replayed(id: &str, window: Option<Duration>) -> Envelope {
    let store = MemoryStore::new();
    let id = MessageId::parse(id).unwrap();
    store.enqueue(&[Message::to("topic").id(id.clone()).text(id.as_str()).unwrap()]).await.unwrap();
    let lease = store.lease(0, "relay", HOUR).await.unwrap().unwrap();
    let (from, all) = ([Reach { lease: lease.clone(), after: 0 }], Budget { messages: 10, bytes: usize::MAX });
    let letter = store.fetch(&from, all).await.unwrap().queued.remove(0);
    let dead = Verdict::Dead { error: "on purpose".to_owned() };
    store.settle(&[lease], History::Off, &[(&letter, dead)]).await.unwrap();
    assert!(store.replay(&id, window).await.unwrap());
    store.fetch(&from, all).await.unwrap().queued.remove(0).envelope
}

/// As if it had been enqueued so much earlier.
fn older(mut envelope: Envelope, age: Duration) -> Envelope {
    envelope.enqueued_at -= i64::try_from(age.as_micros()).unwrap();
    envelope
}

/// Delivers it to a consumer whose inbox remembers for two hours.
async fn deliver(fixture: &Fixture, envelope: &Envelope) -> Consumed {
    assert_eq!(fixture.broker.publish(std::slice::from_ref(envelope)).await, [Outcome::Accepted]);
    let inbox = fixture.inbox.clone().with_retention(HOUR * 2);
    let consumer = Consumer::new(Arc::clone(&fixture.broker), subscription(), inbox, note);
    consumer.with_options(options(3)).step().await.unwrap()
}

#[test]
fn what_the_inbox_may_have_forgotten_is_parked_whatever_broker_brings_it() {
    block_on(a_replay_that_the_inbox_may_have_forgotten_is_parked(Arc::new(MemoryBroker::new())));
}

#[test]
fn what_the_inbox_still_knows_is_a_repeat_whatever_it_may_have_forgotten() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.publish("id", "first").await;
        assert_eq!(fixture.consumer(note).step().await.unwrap().first, 1);
        for window in [Some(HOUR * 9), Some(HOUR), None] {
            assert_eq!(deliver(&fixture, &replayed("id", window).await).await.duplicates, 1, "{window:?}");
        }
        assert_eq!(fixture.effects().await, ["first"]);
    });
}

#[test]
fn a_replay_that_was_on_its_way_for_too_long_is_parked() {
    block_on(async {
        let fixture = Fixture::new().await;
        let late = older(replayed("late", Some(HOUR)).await, HOUR * 3);
        assert_eq!(deliver(&fixture, &late).await.dead, 1, "as the inbox may have forgotten it on the way");
        let reason = fixture.broker.dead("notify", 1).await.unwrap().remove(0).reason;
        assert!(reason.contains("old by now") && reason.contains("remembers 7200s"), "{reason}");
        let told = older(replayed("told", None).await, HOUR * 3);
        assert_eq!(deliver(&fixture, &told).await.first, 1);
        let in_time = older(replayed("in-time", Some(HOUR)).await, HOUR);
        assert_eq!(deliver(&fixture, &in_time).await.first, 1);
        // Its age is that of the first publish: nothing but a replay asks for it.
        fixture.publish("first", "first").await;
        assert_eq!(fixture.consumer(note).step().await.unwrap().first, 1);
        assert_eq!(fixture.effects().await, ["first", "in-time", "told"]);
    });
}
