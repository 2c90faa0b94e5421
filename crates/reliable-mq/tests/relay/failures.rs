//! Single messages that fail.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    conformance::block_on,
    sqlite,
    sqlx::{self, Sqlite},
};
use onceward_reliable_mq::{Outbox, Outcome, Relay, RelayOptions, Status};

use crate::{
    double::{Double, rejected, unknown},
    message, options, statuses, stores,
};

#[test]
fn a_failed_row_in_the_log_is_found_by_the_scanner_and_sent_again() {
    block_on(async {
        let pool = sqlite::memory().await.unwrap();
        let outbox = Outbox::<Sqlite>::new(pool.clone());
        outbox.migrate().await.unwrap();
        let broker = Double::new(|_, tries| if tries <= 2 { rejected() } else { Outcome::Accepted });
        let relay = Relay::new(outbox.store(), broker.clone(), options(12)).unwrap();
        let id = outbox
            .transaction(async |mut tx| outbox.enqueue(&mut tx, &message(Some("k"), "hello")).await)
            .await
            .unwrap();

        // As the service's own operators see it: with plain SQL, in their own database.
        let row = async || {
            let row: (String, String, String, i64, Option<String>) =
                sqlx::query_as("select message_id, topic, status, attempts, last_error from mq_log")
                    .fetch_one(&pool)
                    .await
                    .unwrap();
            assert_eq!((row.0.as_str(), row.1.as_str()), (id.as_str(), "topic"));
            (row.2, row.3, row.4)
        };
        assert_eq!(row().await, ("pending".to_owned(), 0, None));
        relay.step().await.unwrap();
        assert_eq!(row().await, ("failed".to_owned(), 1, Some("rejected: full".to_owned())));
        let left = relay.drain(Duration::from_secs(10)).await.unwrap();
        assert!(left.is_empty());
        assert_eq!(row().await, ("sent".to_owned(), 3, None));
        assert_eq!(broker.texts(), ["hello"]);
        let attempts: Vec<Status> =
            outbox.store().attempts(&id).await.unwrap().iter().map(|attempt| attempt.status).collect();
        assert_eq!(attempts, [Status::Failed, Status::Failed, Status::Sent]);
    });
}

#[test]
fn after_the_budget_a_message_is_dead_and_can_be_replayed() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::new(|_, tries| if tries <= 3 { rejected() } else { Outcome::Accepted });
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(3)).unwrap();
            let id = store.enqueue(&[message(Some("k"), "a"), message(Some("k"), "b")]).await.unwrap().remove(0);
            relay.drain(Duration::from_secs(10)).await.unwrap();
            let dead = store.dead(10).await.unwrap();
            assert_eq!(
                dead.iter().map(|letter| letter.attempts).collect::<Vec<_>>(),
                [3, 3],
                "each has its own budget"
            );
            assert!(store.replay(&id, None).await.unwrap());
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(broker.accepted()[0].id, id, "under its own id");
            assert_eq!(store.dead(10).await.unwrap().len(), 1);
        }
    });
}

#[test]
fn what_no_repeat_mends_is_dead_at_once() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::new(|_, _| Outcome::Rejected { reason: "too large".to_owned(), permanent: true });
            let relay = Relay::new(Arc::clone(&store), broker, options(12)).unwrap();
            store.enqueue(&[message(None, "a")]).await.unwrap();
            let step = relay.step().await.unwrap();
            assert_eq!((step.sent, step.retried, step.dead), (0, 0, 1));
            assert_eq!(statuses(&store).await, [(Status::Dead, 1)]);
        }
    });
}

#[test]
fn an_unroutable_message_waits_for_its_queue_and_does_not_count_as_sent() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::new(|_, tries| if tries == 1 { Outcome::Unroutable } else { Outcome::Accepted });
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(12)).unwrap();
            store.enqueue(&[message(None, "a")]).await.unwrap();
            relay.step().await.unwrap();
            assert_eq!(statuses(&store).await, [(Status::Failed, 1)]);
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(broker.texts(), ["a"]);
        }
    });
}

#[test]
fn one_message_without_an_answer_among_answered_ones_is_repeated_with_its_id() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::new(|envelope, tries| {
                if envelope.header("lost").is_some() && tries == 1 { unknown() } else { Outcome::Accepted }
            });
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(12)).unwrap();
            let lost = onceward_reliable_mq::Message::to("topic").header("lost", "").text("b").unwrap();
            let ids = store.enqueue(&[message(None, "a"), lost, message(None, "c")]).await.unwrap();
            relay.drain(Duration::from_secs(10)).await.unwrap();
            let mut accepted: Vec<_> = broker.accepted().into_iter().map(|envelope| envelope.id).collect();
            accepted.sort();
            let mut expected = ids;
            expected.sort();
            assert_eq!(accepted, expected);
        }
    });
}

#[test]
fn a_volatile_broker_is_refused_unless_allowed() {
    block_on(async {
        let (store, _guard) = stores().await.remove(0);
        let volatile = Arc::new(onceward_reliable_mq::MemoryBroker::new());
        let refused = Relay::new(Arc::clone(&store), volatile.clone(), RelayOptions::default());
        assert!(matches!(refused, Err(onceward_reliable_mq::Error::Volatile)));
        assert!(Relay::new(store, volatile, RelayOptions::default().with_allow_volatile(true)).is_ok());
    });
}

#[test]
fn topics_can_be_checked_at_the_start() {
    block_on(async {
        let (store, _guard) = stores().await.remove(0);
        let relay = Relay::new(store, Double::accepting(), options(1)).unwrap();
        relay.check_topics(&["topic"]).await.unwrap();
        let missing = relay.check_topics(&["topic", "other"]).await;
        assert!(matches!(missing, Err(onceward_reliable_mq::Error::UnknownTopic(topic)) if topic == "other"));
    });
}
