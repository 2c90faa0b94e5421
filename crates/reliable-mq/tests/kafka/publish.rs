//! One outcome per message, whatever the cluster does.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{
    Broker, Durability, Envelope, Error, Health, KafkaBroker, KafkaOptions, KafkaTopics, Message, MessageId, Outcome,
    Subscription,
};
use rdkafka::{types::RDKafkaApiKey as Request, types::RDKafkaRespErr as Answer};

use crate::{Space, envelope, queue::all};

fn subscription() -> Subscription {
    Subscription::new("queue").topic("topic")
}

fn keyed(text: &str) -> Envelope {
    let message = Message::to("topic").key("key").text(text).unwrap();
    Envelope::new(MessageId::parse(format!("id-{text}")).unwrap(), message, 1)
}

async fn accepted(broker: &KafkaBroker, batch: &[Envelope]) {
    let outcomes = broker.publish(batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
}

#[test]
fn a_batch_of_many_windows_keeps_the_order_of_a_key() {
    block_on(async {
        let space = Space::fresh();
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        let batch: Vec<Envelope> = (0..1200).map(|n| keyed(&n.to_string())).collect();
        accepted(&broker, &batch).await;
        let got = all(&broker, "queue", 1200).await;
        let got: Vec<&MessageId> = got.iter().map(|delivery| &delivery.envelope().id).collect();
        assert_eq!(got, batch.iter().map(|envelope| &envelope.id).collect::<Vec<_>>());
    });
}

#[test]
fn what_no_topic_can_have_is_refused_alone() {
    block_on(async {
        let space = Space::fresh();
        let broker = KafkaBroker::new(space.servers(), space.options().with_max_payload(20)).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        let batch = [
            envelope("topic", "a"),
            envelope("topic", "much-too-large-a-payload"),
            envelope("a/b", "no-name"),
            envelope("queue.onceward-dead", "ours"),
            envelope("topic", "b"),
        ];
        let outcomes = broker.publish(&batch).await;
        assert_eq!((&outcomes[0], &outcomes[4]), (&Outcome::Accepted, &Outcome::Accepted), "{outcomes:?}");
        for outcome in &outcomes[1..4] {
            assert!(matches!(outcome, Outcome::Rejected { permanent: true, .. }), "{outcomes:?}");
        }
        assert!(!broker.routes("a/b").await.unwrap());
        assert_eq!(broker.depth("queue").await.unwrap().ready, 2);
    });
}

#[test]
fn what_the_cluster_refuses_is_told_and_the_next_message_is_not_refused_with_it() {
    block_on(async {
        let space = Space::fresh();
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        accepted(&broker, &[envelope("topic", "warm")]).await;
        for (answer, forever) in [
            (Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, true),
            (Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, false),
        ] {
            space.mocked().request_errors(Request::Produce, &[answer]);
            let outcomes = broker.publish(&[envelope("topic", "bad")]).await;
            let told = matches!(outcomes[0], Outcome::Rejected { permanent, .. } if permanent == forever);
            assert!(told, "{answer:?}: {outcomes:?}");
            accepted(&broker, &[envelope("topic", "good")]).await;
        }
    });
}

#[test]
fn what_the_client_may_repeat_it_repeats_in_order_and_once() {
    block_on(async {
        let space = Space::fresh();
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        accepted(&broker, &[keyed("warm")]).await;
        let passing = [
            Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ];
        space.mocked().request_errors(Request::Produce, &passing);
        let batch: Vec<Envelope> = (0..50).map(|n| keyed(&n.to_string())).collect();
        accepted(&broker, &batch).await;
        let got: Vec<String> =
            all(&broker, "queue", 51).await.iter().map(|delivery| delivery.envelope().id.to_string()).collect();
        let sent = std::iter::once("id-warm".to_owned()).chain((0..50).map(|n| format!("id-{n}")));
        assert_eq!(got, sent.collect::<Vec<_>>());
        assert_eq!(broker.depth("queue").await.unwrap().ready, 0);
    });
}

#[test]
fn a_cluster_that_is_away_leaves_every_outcome_unknown_and_comes_back() {
    block_on(async {
        let space = Space::fresh();
        let short = Duration::from_secs(1);
        let options = space.options().with_timeout(short).with_confirm_timeout(short);
        let broker = KafkaBroker::new(space.servers(), options).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        accepted(&broker, &[envelope("topic", "warm")]).await;
        (1..=3).for_each(|id| space.mocked().broker_down(id).unwrap());
        let (asked, batch) = (Instant::now(), [envelope("topic", "a"), envelope("topic", "b")]);
        let outcomes = broker.publish(&batch).await;
        assert_eq!(outcomes.len(), 2);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. })), "{outcomes:?}");
        assert!(matches!(broker.health().await, Health::Down(_)));
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        (1..=3).for_each(|id| space.mocked().broker_up(id).unwrap());
        testkit::eventually(Duration::from_secs(20), async || match broker.publish(&batch).await.as_slice() {
            [Outcome::Accepted, Outcome::Accepted] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(broker.health().await, Health::Up);
    });
}

#[test]
fn an_acknowledgement_that_does_not_come_is_unknown_and_the_repeat_is_accepted() {
    block_on(async {
        let space = Space::fresh();
        let broker = KafkaBroker::new(space.servers(), space.options().with_confirm_timeout(Duration::from_secs(1)));
        let broker = broker.unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        accepted(&broker, &[envelope("topic", "warm")]).await;
        // The answer comes too late.
        let slow = |wait| (1..=3).for_each(|id| space.mocked().broker_round_trip_time(id, wait).unwrap());
        slow(Duration::from_secs(5));
        let sent = [envelope("topic", "lost")];
        let outcomes = broker.publish(&sent).await;
        assert!(matches!(outcomes[0], Outcome::Unknown { .. }), "{outcomes:?}");
        slow(Duration::ZERO);
        let other = space.broker();
        testkit::eventually(Duration::from_secs(20), async || match other.publish(&sent).await.as_slice() {
            [Outcome::Accepted] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        // Under its id it is there once or twice: the inbox drops the second.
        let got = RefCell::new(BTreeSet::new());
        testkit::eventually(Duration::from_secs(20), async || {
            let more = broker.receive("queue", 10).await.map_err(|error| error.to_string())?;
            got.borrow_mut().extend(more.iter().map(|delivery| delivery.envelope().id.to_string()));
            if got.borrow().iter().eq(["id-lost", "id-warm"]) { Ok(()) } else { Err(format!("{got:?}")) }
        })
        .await;
    });
}

#[test]
fn a_topic_that_one_broker_has_is_not_replicated() {
    block_on(async {
        let space = Space::fresh();
        space.mocked().create_topic(&space.topic("alone"), 1, 1).unwrap();
        space.mocked().create_topic(&space.topic("kept"), 1, 3).unwrap();
        let broker =
            KafkaBroker::new(space.servers(), space.options().with_durability(Durability::Replicated)).unwrap();
        assert_eq!(broker.capabilities().durability, Durability::Replicated);
        let outcomes = broker.publish(&[envelope("alone", "a"), envelope("kept", "b")]).await;
        assert!(
            matches!(&outcomes[0], Outcome::Rejected { permanent: false, reason } if reason.contains("one broker"))
        );
        assert_eq!(outcomes[1], Outcome::Accepted);
        accepted(&space.broker(), &[envelope("alone", "a")]).await;
        for durability in [Durability::Volatile, Durability::Fsynced] {
            let options = space.options().with_durability(durability);
            assert!(matches!(KafkaBroker::new(space.servers(), options), Err(Error::Unsupported(_))));
        }
    });
}

#[test]
fn topics_that_others_make_are_named_when_they_are_missing() {
    block_on(async {
        let space = Space::fresh();
        let broker = KafkaBroker::new(space.servers(), space.options().with_topics(KafkaTopics::Given)).unwrap();
        let told = broker.subscribe(&subscription()).await.unwrap_err().to_string();
        assert!(told.contains(&space.topic("topic")), "{told}");
        assert!(!broker.routes("topic").await.unwrap(), "asking makes none");
        space.broker().subscribe(&subscription()).await.unwrap();
        broker.subscribe(&subscription()).await.unwrap();
    });
}

#[test]
fn a_topic_that_another_process_makes_is_found() {
    block_on(async {
        let space = Space::fresh();
        let publisher = space.broker();
        let sent = [envelope("topic", "a")];
        assert_eq!(publisher.publish(&sent).await, [Outcome::Unroutable]);
        space.broker().subscribe(&subscription()).await.unwrap();
        testkit::eventually(Duration::from_secs(10), async || match publisher.publish(&sent).await.as_slice() {
            [Outcome::Accepted] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    });
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_sent() {
    for (servers, options) in [
        (" ", KafkaOptions::default()),
        ("localhost:1", KafkaOptions::default().with_property("no.such.thing", "1")),
        ("localhost:1", KafkaOptions::default().with_property("security.protocol", "hidden")),
        ("localhost:1", KafkaOptions::default().with_prefix("a b")),
    ] {
        let told = KafkaBroker::new(servers, options.clone()).unwrap_err().to_string();
        assert!(!told.contains("hidden"), "{told}");
        println!("{told}");
    }
    let options = KafkaOptions::default().with_property("sasl.password", "hidden-password");
    let broker = KafkaBroker::new("127.0.0.1:1", options.with_timeout(Duration::from_millis(300))).unwrap();
    block_on(async {
        let heard = format!("{broker:?} {:?}", broker.health().await);
        assert!(!heard.contains("hidden") && heard.contains("Down"), "{heard}");
    });
}
