//! One outcome per message, whatever the batch.

use std::time::{Duration, Instant};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Envelope, Health, MessageId, NatsBroker, NatsOptions, Outcome, Subscription};
use testkit::{Mode, Proxy};

use crate::{Space, envelope};

fn subscription() -> Subscription {
    Subscription::new("queue").topic("topic")
}

fn all_accepted(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Accepted)
}

#[test]
fn a_batch_of_many_windows_keeps_its_order() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        let batch: Vec<Envelope> = (0..1200).map(|n| envelope("topic", &n.to_string())).collect();
        assert!(all_accepted(&broker.publish(&batch).await));
        let mut got = Vec::new();
        while got.len() < 1200 {
            let more = broker.receive("queue", 1200).await.unwrap();
            assert!(!more.is_empty(), "only {} of 1200", got.len());
            got.extend(more);
        }
        let got: Vec<&MessageId> = got.iter().map(|delivery| &delivery.envelope().id).collect();
        assert_eq!(got, batch.iter().map(|envelope| &envelope.id).collect::<Vec<_>>());
    });
}

#[test]
fn a_batch_costs_few_round_trips() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let broker = NatsBroker::new(proxy.url(), space.options()).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        broker.publish(&[envelope("topic", "warm")]).await;
        proxy.reset_counts();
        let batch: Vec<Envelope> = (0..500).map(|n| envelope("topic", &n.to_string())).collect();
        assert!(all_accepted(&broker.publish(&batch).await));
        let trips = proxy.round_trips();
        println!("500 messages: {trips} round trips to the broker");
        assert!(trips <= 50, "{trips} round trips: the acknowledgements were awaited one by one");
    });
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = NatsBroker::new(space.url(), space.options().with_max_payload(10)).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        let batch = [envelope("topic", "small"), envelope("topic", "much-too-large"), envelope("topic", "fits")];
        let outcomes = broker.publish(&batch).await;
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted));
        assert!(matches!(outcomes[1], Outcome::Rejected { permanent: true, .. }), "{outcomes:?}");
        assert_eq!(broker.depth("queue").await.unwrap().ready, 2);
    });
}

#[test]
fn what_the_server_would_cut_the_connection_for_is_refused_and_the_rest_of_the_batch_is_not() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        let large = onceward_reliable_mq::Message::to("topic").payload(vec![0; 1024 * 1024]).unwrap();
        let large = Envelope::new(MessageId::parse("large").unwrap(), large, 1);
        let outcomes = broker.publish(&[envelope("topic", "a"), large, envelope("topic", "b")]).await;
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted), "{outcomes:?}");
        assert!(matches!(outcomes[1], Outcome::Rejected { permanent: true, .. }), "{outcomes:?}");
    });
}

#[test]
fn a_full_queue_refuses_keeps_what_it_has_and_takes_more_when_there_is_room() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = NatsBroker::new(space.url(), space.options().with_max_messages(2)).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        let outcomes = broker.publish(&["a", "b", "c"].map(|text| envelope("topic", text))).await;
        assert_eq!(outcomes[..2], [Outcome::Accepted, Outcome::Accepted]);
        assert!(
            matches!(&outcomes[2], Outcome::Rejected { permanent: false, reason } if reason.contains("maximum messages")),
            "{outcomes:?}"
        );
        let first = broker.receive("queue", 1).await.unwrap().pop().unwrap();
        assert_eq!(first.envelope().id.as_str(), "id-a", "what was there first is there");
        first.ack().await.unwrap();
        assert_eq!(broker.publish(&[envelope("topic", "c")]).await, [Outcome::Accepted]);
    });
}

#[test]
fn an_acknowledgement_that_is_lost_is_unknown_and_the_repeat_is_stored_once() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let broker = NatsBroker::new(proxy.url(), space.options()).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        assert_eq!(broker.publish(&[envelope("topic", "warm")]).await, [Outcome::Accepted]);
        let sent = [envelope("topic", "lost")];
        proxy.set(Mode::DropReplyTo(b"id-lost".to_vec()));
        let outcomes = broker.publish(&sent).await;
        assert!(matches!(outcomes[0], Outcome::Unknown { .. }), "{outcomes:?}");
        let other = space.broker();
        assert_eq!(other.depth("queue").await.unwrap().ready, 2, "the server has it");
        testkit::eventually(Duration::from_secs(20), async || match broker.publish(&sent).await.as_slice() {
            [Outcome::Accepted] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(other.depth("queue").await.unwrap().ready, 2, "and has it once");
    });
}

#[test]
fn two_queues_of_one_topic_have_it_or_the_message_is_not_accepted() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        let small = NatsBroker::new(space.url(), space.options().with_max_messages(1)).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        small.subscribe(&Subscription::new("small").topic("topic")).await.unwrap();
        assert_eq!(broker.publish(&[envelope("topic", "a")]).await, [Outcome::Accepted]);
        let refused = broker.publish(&[envelope("topic", "b")]).await;
        assert!(matches!(refused[0], Outcome::Rejected { permanent: false, .. }), "{refused:?}");
        broker.receive("small", 1).await.unwrap().pop().unwrap().ack().await.unwrap();
        assert_eq!(broker.publish(&[envelope("topic", "b")]).await, [Outcome::Accepted]);
        assert_eq!(broker.depth("queue").await.unwrap().ready, 2, "the repeat is stored where it was missing");
        assert_eq!(broker.depth("small").await.unwrap().ready, 1);
    });
}

#[test]
fn a_queue_that_another_process_has_just_bound_misses_nothing() {
    block_on(async {
        let space = Space::fresh().await;
        let (publisher, other) = (space.broker(), space.broker());
        publisher.subscribe(&subscription()).await.unwrap();
        assert_eq!(publisher.publish(&[envelope("topic", "a")]).await, [Outcome::Accepted]);
        other.subscribe(&Subscription::new("late").topic("topic")).await.unwrap();
        assert_eq!(publisher.publish(&[envelope("topic", "b")]).await, [Outcome::Accepted]);
        assert_eq!(publisher.depth("late").await.unwrap().ready, 1);
    });
}

#[test]
fn a_broker_that_does_not_answer_leaves_every_outcome_unknown_and_comes_back() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let short = Duration::from_millis(300);
        let options = space.options().with_timeout(short).with_confirm_timeout(short);
        let broker = NatsBroker::new(proxy.url(), options).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        assert_eq!(broker.publish(&[envelope("topic", "warm")]).await, [Outcome::Accepted]);
        proxy.set(Mode::Stall);
        let (asked, batch) = (Instant::now(), [envelope("topic", "a"), envelope("topic", "b")]);
        let outcomes = broker.publish(&batch).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. })), "{outcomes:?}");
        assert_eq!(outcomes.len(), 2);
        assert!(matches!(broker.health().await, Health::Down(_)));
        assert!(asked.elapsed() < Duration::from_secs(5));
        proxy.set(Mode::Pass);
        testkit::eventually(Duration::from_secs(20), async || match broker.publish(&batch).await.as_slice() {
            [Outcome::Accepted, Outcome::Accepted] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(broker.health().await, Health::Up);
    });
}

#[test]
fn nothing_shows_the_password() {
    let url = "nats://user:hidden-password@127.0.0.1:1";
    let broker = NatsBroker::new(url, NatsOptions::default()).unwrap();
    block_on(async {
        let heard = format!("{broker:?} {:?} {:?}", broker.health().await, broker.publish(&[envelope("t", "a")]).await);
        assert!(!heard.contains("hidden"), "{heard}");
    });
    let error = NatsBroker::new("nats://user:hidden-password@[::bad", NatsOptions::default()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hidden"));
}
