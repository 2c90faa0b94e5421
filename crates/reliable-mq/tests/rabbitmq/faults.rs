//! What RabbitMQ makes of a wire that is cut.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::Status;
use testkit::Mode;

use crate::wire::{Fixture, WHILE, consume_all, note, texts};

#[test]
fn a_confirm_that_is_lost_is_sent_again_and_has_one_effect() {
    block_on(async {
        let fixture = Fixture::new().await;
        let relay = fixture.relay();
        fixture.enqueue("topic", ["warm".to_owned()]).await;
        relay.drain(WHILE).await.unwrap();
        fixture.enqueue("topic", texts(20)).await;
        fixture.proxy.set(Mode::DropReplyTo(b"text-019".to_vec()));
        let counts = relay.drain(WHILE).await.unwrap();
        assert!(counts.is_empty(), "{counts:?}");
        assert_eq!(fixture.statuses().await, [(Status::Sent, 1); 21], "silence spends nothing");
        let ready = fixture.broker.depth("notify").await.unwrap().ready;
        assert!(ready > 21, "{ready} messages: what was not confirmed was sent again");
        let consumed = fixture.consumer(Arc::clone(&fixture.broker), note).drain(WHILE).await.unwrap();
        assert_eq!((consumed.first, consumed.duplicates as u64), (21, ready - 21));
        assert_eq!(fixture.effects().await.len(), 21);
    });
}

#[test]
fn a_connection_that_dies_before_the_acknowledgement_brings_the_message_back() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.enqueue("topic", texts(5)).await;
        fixture.relay().drain(WHILE).await.unwrap();
        let handled = Arc::new(AtomicUsize::new(0));
        let consumer = fixture.consumer(Arc::clone(&fixture.broker), {
            let handled = Arc::clone(&handled);
            move |tx, message| {
                handled.fetch_add(1, Ordering::SeqCst);
                note(tx, message)
            }
        });
        assert_eq!(consumer.step().await.unwrap().first, 1);
        let delivery = fixture.broker.receive("notify", 1).await.unwrap().pop().unwrap();
        fixture.proxy.cut();
        // Whether the client noticed already is a race; that the message comes back is not.
        let _ = delivery.ack().await;
        consume_all(&fixture, &consumer, 5).await;
        assert_eq!((fixture.effects().await, handled.load(Ordering::SeqCst)), (texts(5), 5));
    });
}

#[test]
fn an_acknowledgement_that_is_lost_after_the_commit_changes_nothing() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.enqueue("topic", texts(3)).await;
        fixture.relay().drain(WHILE).await.unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let consumer = fixture.consumer(Arc::clone(&fixture.broker), {
            let (proxy, calls) = (Arc::clone(&fixture.proxy), Arc::clone(&calls));
            move |tx, message| {
                // The wire is gone before the handler's transaction commits, so its acknowledgement has no way.
                if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                    proxy.cut();
                }
                note(tx, message)
            }
        });
        consume_all(&fixture, &consumer, 3).await;
        let rest = testkit::eventually(WHILE, async || consumer.drain(WHILE).await).await;
        assert_eq!((rest.first, fixture.effects().await), (0, texts(3)));
        assert_eq!(calls.load(Ordering::SeqCst), 3, "the repeat did not reach the handler");
    });
}
