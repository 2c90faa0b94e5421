//! A cut wire in front of a broker that knows what it has stored, and whose deliveries outlive a connection. The program says in
//! `Space` which that is, and what its acknowledgements have on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Health, Status};
use testkit::Mode;

use crate::{
    Space,
    wire::{Fixture, WHILE, consume_all, note, texts},
};

#[test]
fn an_answer_that_is_lost_is_sent_again_spends_nothing_and_is_stored_once() {
    block_on(async {
        let fixture = Fixture::new().await;
        let relay = fixture.relay();
        fixture.enqueue("topic", ["warm".to_owned()]).await;
        relay.drain(WHILE).await.unwrap();
        fixture.enqueue("topic", ["lost".to_owned()]).await;
        fixture.proxy.set(Mode::DropReplyTo(b"lost".to_vec()));
        let counts = relay.drain(WHILE).await.unwrap();
        assert!(counts.is_empty(), "{counts:?}");
        assert_eq!(fixture.proxy.mode(), Mode::Pass, "the answer was lost");
        assert_eq!(fixture.statuses().await, [(Status::Sent, 1); 2], "silence spends nothing");
        assert_eq!(fixture.broker.depth("notify").await.unwrap().ready, 2, "the server knows what it has");
        let consumed = fixture.consumer(Arc::clone(&fixture.broker), note).drain(WHILE).await.unwrap();
        assert_eq!((consumed.first, consumed.duplicates), (2, 0));
        assert_eq!(fixture.effects().await, ["lost", "warm"]);
    });
}

#[test]
fn a_connection_that_dies_takes_no_delivery_with_it() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.enqueue("topic", texts(5)).await;
        fixture.relay().drain(WHILE).await.unwrap();
        let delivery = fixture.broker.receive("notify", 1).await.unwrap().pop().unwrap();
        fixture.proxy.cut();
        testkit::eventually(WHILE, async || match fixture.broker.health().await {
            Health::Up => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        delivery.ack().await.unwrap();
        consume_all(&fixture, &fixture.consumer(Arc::clone(&fixture.broker), note), 4).await;
        assert_eq!(fixture.effects().await, texts(5)[1..]);
        assert_eq!(fixture.broker.depth("notify").await.unwrap().open(), 0);
    });
}

#[test]
fn an_acknowledgement_whose_answer_is_lost_after_the_commit_changes_nothing() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.enqueue("topic", texts(3)).await;
        fixture.relay().drain(WHILE).await.unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let consumer = fixture.consumer(Arc::clone(&fixture.broker), {
            let (proxy, calls) = (Arc::clone(&fixture.proxy), Arc::clone(&calls));
            move |tx, message| {
                // The server gets the acknowledgement; that it has is what gets lost.
                if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                    proxy.set(Mode::DropReplyTo(Space::ACK.to_vec()));
                }
                note(tx, message)
            }
        });
        consume_all(&fixture, &consumer, 3).await;
        assert_eq!(fixture.proxy.mode(), Mode::Pass, "the answer was lost");
        testkit::eventually(WHILE, async || match fixture.broker.depth("notify").await {
            Ok(depth) if depth.open() == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!((fixture.effects().await, calls.load(Ordering::SeqCst)), (texts(3), 3), "no repeat came");
    });
}
