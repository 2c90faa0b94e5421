//! Queues as streams: names, settings, deliveries, what others publish.

use std::time::Duration;

use async_nats::jetstream::stream;
use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Envelope, Error, Message, MessageId, NatsBroker, Outcome, Subscription};

use crate::{Space, envelope};

#[test]
fn topics_and_queues_of_every_visible_character_arrive() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        let topics = ["orders.*.>", "a..b", ".", "50%", "a/b\\c+d=2E", "orders.confirmed", "orders"];
        for queue in ["shop.mail", "a*>/\\+%="] {
            let all = topics.iter().fold(Subscription::new(queue), |all, topic| all.topic(*topic));
            broker.subscribe(&all).await.unwrap();
        }
        for topic in topics {
            assert!(broker.routes(topic).await.unwrap(), "{topic}");
        }
        for other in ["orders.any.thing", "a", "..", "orders.confirmed.x"] {
            assert!(!broker.routes(other).await.unwrap(), "{other}");
        }
        let batch: Vec<Envelope> =
            topics.iter().enumerate().map(|(n, topic)| envelope(topic, &n.to_string())).collect();
        assert_eq!(broker.publish(&batch).await, vec![Outcome::Accepted; topics.len()]);
        for queue in ["shop.mail", "a*>/\\+%="] {
            let got = broker.receive(queue, 100).await.unwrap();
            let heard: Vec<&str> = got.iter().map(|delivery| delivery.envelope().topic()).collect();
            assert_eq!(heard, topics, "{queue}");
            for delivery in got {
                delivery.ack().await.unwrap();
            }
            assert_eq!(broker.depth(queue).await.unwrap().open(), 0, "{queue}: acknowledged for good");
        }
    });
}

#[test]
fn a_stream_with_other_settings_is_an_error_that_names_them_and_stays_as_it_is() {
    block_on(async {
        let space = Space::fresh().await;
        let bare = space.bare().await;
        let theirs = stream::Config {
            name: space.stream("queue"),
            subjects: vec![space.subject("queue")],
            max_age: Duration::from_secs(60),
            ..stream::Config::default()
        };
        bare.create_stream(theirs).await.unwrap();
        let told = space.broker().subscribe(&Subscription::new("queue").topic("topic")).await.unwrap_err();
        let told = told.to_string();
        for part in ["retention is \"limits\", not \"workqueue\"", "max_age is 60000000000, not 0", "discard is"] {
            assert!(told.contains(part), "{told}");
        }
        let stays = bare.get_stream(space.stream("queue")).await.unwrap();
        assert_eq!(stays.cached_info().config.max_age, Duration::from_secs(60));
        assert_eq!(stays.cached_info().config.subjects, [space.subject("queue")]);
    });
}

#[test]
fn another_visibility_than_the_queue_s_is_refused() {
    block_on(async {
        let space = Space::fresh().await;
        space.broker().subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let other = NatsBroker::new(space.url(), space.options().with_visibility(Duration::from_secs(7))).unwrap();
        let told = other.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap_err().to_string();
        assert!(told.contains("ack_wait is 900000000000, not 7000000000"), "{told}");
    });
}

#[test]
fn what_an_operator_has_set_besides_survives_a_new_topic() {
    block_on(async {
        let space = Space::fresh().await;
        let (broker, bare) = (space.broker(), space.bare().await);
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let mut config = bare.get_stream(space.stream("queue")).await.unwrap().cached_info().config.clone();
        config.max_message_size = 4321;
        config.description = Some("theirs".to_owned());
        bare.update_stream(&config).await.unwrap();
        broker.subscribe(&Subscription::new("queue").topic("more")).await.unwrap();
        let config = bare.get_stream(space.stream("queue")).await.unwrap().cached_info().config.clone();
        assert_eq!((config.max_message_size, config.description.as_deref()), (4321, Some("theirs")));
        assert!(broker.routes("topic").await.unwrap() && broker.routes("more").await.unwrap());
    });
}

#[test]
fn a_consumer_that_dies_with_a_delivery_leaves_it_to_another_process() {
    block_on(async {
        let space = Space::fresh().await;
        let options = space.options().with_visibility(Duration::from_millis(500));
        let process = || NatsBroker::new(space.url(), options.clone()).unwrap();
        let (dies, lives) = (process(), process());
        dies.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        dies.publish(&[envelope("topic", "a")]).await;
        assert_eq!(dies.receive("queue", 10).await.unwrap().len(), 1);
        drop(dies);
        let again = testkit::eventually(Duration::from_secs(20), async || {
            lives.receive("queue", 10).await.unwrap().pop().ok_or("not yet")
        })
        .await;
        assert_eq!((again.envelope().id.as_str(), again.failures()), ("id-a", 0));
        assert!(again.deliveries() >= 2);
        again.ack().await.unwrap();
        assert_eq!(lives.depth("queue").await.unwrap().open(), 0);
    });
}

#[test]
fn failures_are_counted_across_processes_and_forgotten_with_the_message() {
    block_on(async {
        let space = Space::fresh().await;
        let (one, two) = (space.broker(), space.broker());
        one.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        one.publish(&[envelope("topic", "a")]).await;
        for failures in 0..3 {
            let broker = if failures % 2 == 0 { &one } else { &two };
            let delivery = broker.receive("queue", 1).await.unwrap().pop().unwrap();
            assert_eq!((delivery.failures(), delivery.deliveries()), (failures, failures + 1));
            delivery.retry(Duration::ZERO, "on purpose").await.unwrap();
        }
        two.receive("queue", 1).await.unwrap().pop().unwrap().ack().await.unwrap();
        let tried = space.bare().await.get_stream(space.stream("queue+tried")).await.unwrap();
        assert_eq!(tried.cached_info().state.messages, 0);
    });
}

#[test]
fn a_message_that_was_replayed_and_rejected_again_is_dead_again() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let sent = envelope("topic", "a");
        broker.publish(std::slice::from_ref(&sent)).await;
        for reason in ["first", "second\nline, nöt plain", "third"] {
            broker.receive("queue", 1).await.unwrap().pop().unwrap().reject(reason).await.unwrap();
            let dead = broker.dead("queue", 10).await.unwrap();
            assert_eq!(dead.len(), 1);
            assert_eq!((&dead[0].envelope, dead[0].failures, dead[0].reason.as_str()), (&sent, 1, reason));
            assert!(broker.replay("queue", &sent.id).await.unwrap());
        }
        assert_eq!(broker.depth("queue").await.unwrap().ready, 1);
    });
}

#[test]
fn a_replay_goes_to_the_one_queue_that_had_it() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        for queue in ["queue", "other"] {
            broker.subscribe(&Subscription::new(queue).topic("topic")).await.unwrap();
        }
        broker.publish(&[envelope("topic", "a")]).await;
        broker.receive("queue", 1).await.unwrap().pop().unwrap().reject("no good").await.unwrap();
        assert!(broker.replay("queue", &MessageId::parse("id-a").unwrap()).await.unwrap());
        assert_eq!(broker.depth("queue").await.unwrap().ready, 1);
        assert_eq!(broker.depth("other").await.unwrap().ready, 1, "its own copy and no second");
    });
}

#[test]
fn what_others_publish_is_delivered_with_an_id_and_parked_without() {
    block_on(async {
        let space = Space::fresh().await;
        let (broker, bare) = (space.broker(), space.bare().await);
        broker.subscribe(&Subscription::new("queue").topic("orders.new")).await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", "theirs");
        let subject = space.subject("queue.orders.new");
        bare.publish_with_headers(subject.clone(), headers, "a".into()).await.unwrap().await.unwrap();
        bare.publish(subject, "no id".into()).await.unwrap().await.unwrap();
        let got = broker.receive("queue", 10).await.unwrap();
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].envelope().id.as_str(), got[0].envelope().topic()), ("theirs", "orders.new"));
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.leased, depth.dead), (1, 1), "kept for a person to look at");
        assert!(broker.dead("queue", 10).await.unwrap().is_empty());
    });
}

#[test]
fn headers_that_nats_would_act_on_or_break_at_arrive_as_they_were() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let draft = Message::to("topic").header("Nats-Expected-Last-Sequence", "99").header("Nats-Rollup", "all");
        let draft = draft.header("lines", "a\r\nNats-Msg-Id: b").header("none", "").header("spaces", " a ");
        let message = draft.header("a: b", "c").header("ünï", "wört 🦀").header("plain", "as it is").text("t").unwrap();
        let sent = Envelope::new(MessageId::parse("id").unwrap(), message, 1);
        assert_eq!(broker.publish(std::slice::from_ref(&sent)).await, [Outcome::Accepted]);
        let got = broker.receive("queue", 1).await.unwrap().pop().unwrap();
        assert_eq!(*got.envelope(), sent);
    });
}

#[test]
fn what_is_removed_is_gone_and_another_prefix_keeps_its_own() {
    block_on(async {
        let space = Space::fresh().await;
        let named = |last: &str| {
            let prefix = format!("{}-{last}", space.options().prefix);
            NatsBroker::new(space.url(), space.options().with_prefix(prefix)).unwrap()
        };
        let (one, two) = (named("one"), named("two"));
        for broker in [&one, &two] {
            broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
            assert_eq!(broker.publish(&[envelope("topic", "a")]).await, [Outcome::Accepted]);
        }
        assert_eq!(one.receive("queue", 1).await.unwrap().len(), 1);
        one.remove("queue").await.unwrap();
        assert!(matches!(one.depth("queue").await, Err(Error::UnknownQueue(_))));
        assert!(matches!(one.receive("queue", 1).await, Err(Error::UnknownQueue(_))));
        assert_eq!(one.publish(&[envelope("topic", "b")]).await, [Outcome::Unroutable]);
        assert_eq!(two.depth("queue").await.unwrap().ready, 1);
        one.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        assert_eq!(one.depth("queue").await.unwrap().open(), 0, "nothing came back with the name");
    });
}
