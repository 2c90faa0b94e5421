//! One outcome per message, whatever the batch.

use std::time::{Duration, Instant};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{
    Broker, Envelope, Health, Message, MessageId, Outcome, RabbitMqBroker, RabbitMqOptions, Subscription,
};
use testkit::{Mode, Proxy};

use crate::Space;

fn envelope(topic: &str, text: &str) -> Envelope {
    let id = MessageId::parse(format!("id-{text}")).unwrap();
    Envelope::new(id, Message::to(topic).text(text).unwrap(), 1)
}

#[test]
fn pipelined_unroutable_messages_are_never_taken_for_accepted() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let mut rng = testkit::Rng::new(testkit::seed());
        let mut accepted = 0;
        for round in 0..10 {
            let routed: Vec<bool> = (0..1000).map(|_| rng.chance(0.5)).collect();
            let batch: Vec<Envelope> = routed
                .iter()
                .enumerate()
                .map(|(n, routed)| envelope(if *routed { "topic" } else { "nobody" }, &format!("{round}-{n}")))
                .collect();
            for (n, (outcome, routed)) in broker.publish(&batch).await.iter().zip(&routed).enumerate() {
                let expected = if *routed { Outcome::Accepted } else { Outcome::Unroutable };
                assert_eq!(*outcome, expected, "message {n} of round {round}");
            }
            accepted += routed.iter().filter(|routed| **routed).count() as u64;
        }
        assert_eq!(broker.depth("queue").await.unwrap().ready, accepted);
    });
}

#[test]
fn a_batch_of_many_windows_keeps_its_order() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let batch: Vec<Envelope> = (0..1200).map(|n| envelope("topic", &n.to_string())).collect();
        assert!(broker.publish(&batch).await.iter().all(|outcome| *outcome == Outcome::Accepted));
        let got = broker.receive("queue", 1200).await.unwrap();
        let got: Vec<&MessageId> = got.iter().map(|delivery| &delivery.envelope().id).collect();
        assert_eq!(got, batch.iter().map(|envelope| &envelope.id).collect::<Vec<_>>());
    });
}

#[test]
fn a_batch_costs_few_round_trips() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let broker = RabbitMqBroker::new(proxy.url(), space.options()).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        broker.publish(&[envelope("topic", "warm")]).await;
        proxy.reset_counts();
        let batch: Vec<Envelope> = (0..500).map(|n| envelope("topic", &n.to_string())).collect();
        assert!(broker.publish(&batch).await.iter().all(|outcome| *outcome == Outcome::Accepted));
        let trips = proxy.round_trips();
        println!("500 messages: {trips} round trips to the broker");
        assert!(trips <= 50, "{trips} round trips: the confirms were awaited one by one");
    });
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = RabbitMqBroker::new(space.url(), space.options().with_max_payload(10)).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let batch = [envelope("topic", "small"), envelope("topic", "much-too-large"), envelope("topic", "fits")];
        let outcomes = broker.publish(&batch).await;
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted));
        assert!(matches!(outcomes[1], Outcome::Rejected { permanent: true, .. }), "{outcomes:?}");
        assert_eq!(broker.depth("queue").await.unwrap().ready, 2);
    });
}

#[test]
fn a_broker_that_does_not_answer_leaves_every_outcome_unknown_and_comes_back() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let short = Duration::from_millis(300);
        let options = space.options().with_timeout(short).with_confirm_timeout(short);
        let broker = RabbitMqBroker::new(proxy.url(), options).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
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
    let url = "amqp://user:hidden-password@127.0.0.1:1/%2f";
    let broker = RabbitMqBroker::new(url, RabbitMqOptions::default()).unwrap();
    block_on(async {
        let heard = format!("{broker:?} {:?} {:?}", broker.health().await, broker.publish(&[envelope("t", "a")]).await);
        assert!(!heard.contains("hidden"), "{heard}");
    });
    let error = RabbitMqBroker::new("amqp://user:hidden-password@[::bad", RabbitMqOptions::default()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hidden"));
}

#[test]
fn what_is_removed_is_gone_and_another_prefix_keeps_its_own() {
    block_on(async {
        let space = Space::fresh().await;
        let named = |prefix: &str| RabbitMqBroker::new(space.url(), space.options().with_prefix(prefix)).unwrap();
        let (one, two) = (named("one."), named("two."));
        for broker in [&one, &two] {
            broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
            assert_eq!(broker.publish(&[envelope("topic", "a")]).await, [Outcome::Accepted]);
        }
        one.remove("queue").await.unwrap();
        assert!(one.depth("queue").await.is_err(), "no such queue");
        assert_eq!(two.depth("queue").await.unwrap().ready, 1);
        one.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        assert_eq!(one.depth("queue").await.unwrap().open(), 0, "nothing came back with the name");
    });
}
