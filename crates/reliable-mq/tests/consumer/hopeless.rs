//! What no handler comes to an end with, and what the database refuses.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn a_message_that_was_delivered_often_and_never_settled_is_parked_untried() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.publish("killer", "a").await;
        // As it comes back from consumers that have died of it; three attempts are allowed.
        for _ in 0..24 {
            fixture.broker.receive("notify", 1).await.unwrap().remove(0).release().await.unwrap();
        }
        let tried = Arc::new(AtomicUsize::new(0));
        let consumer = fixture.consumer({
            let tried = Arc::clone(&tried);
            move |tx, message| {
                tried.fetch_add(1, Ordering::Relaxed);
                note(tx, message)
            }
        });
        assert_eq!(consumer.step().await.unwrap().dead, 1);
        assert_eq!(tried.load(Ordering::Relaxed), 0);
        let dead = fixture.broker.dead("notify", 10).await.unwrap();
        assert!(dead[0].reason.contains("delivered 25 times"), "{}", dead[0].reason);
    });
}

#[test]
fn nothing_is_received_before_a_database_that_failed_answers_again() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.publish("id", "a").await;
        let consumer = fixture.consumer(note);
        fixture.pool.close().await;
        for _ in 0..5 {
            consumer.step().await.unwrap_err();
        }
        let delivery = fixture.broker.receive("notify", 1).await.unwrap().remove(0);
        assert_eq!(delivery.deliveries(), 2, "given back once, and this time");
    });
}

#[test]
fn an_inbox_that_cannot_be_purged_keeps_nobody_from_consuming() {
    block_on(async {
        let fixture = Fixture::new().await;
        let keep = "create trigger keep before delete on mq_inbox begin select raise(abort, 'never'); end";
        sqlx::query(keep).execute(&fixture.pool).await.unwrap();
        let old = "insert into mq_inbox (consumer, message_id, at) values ('notify', 'old', 0)";
        sqlx::query(old).execute(&fixture.pool).await.unwrap();
        fixture.inbox.purge(10).await.unwrap_err();
        fixture.publish("id", "a").await;
        let (consumer, stop) = (fixture.consumer(note), CancellationToken::new());
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { consumer.run(stop).await }
        });
        testkit::eventually(WHILE, async || if fixture.effects().await == ["a"] { Ok(()) } else { Err("not yet") })
            .await;
        stop.cancel();
        running.await.unwrap();
    });
}
