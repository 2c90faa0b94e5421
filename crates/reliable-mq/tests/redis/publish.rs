//! One outcome per message, whatever the batch.

use std::time::{Duration, Instant};

use onceward_backend::{conformance::block_on, redis::cmd};
use onceward_reliable_mq::{
    Broker, Durability, Envelope, Error, Health, Message, MessageError, MessageId, Outcome, RedisBroker, RedisOptions,
    Subscription,
};
use testkit::{Mode, Proxy};

use crate::{Space, envelope};

fn subscription() -> Subscription {
    Subscription::new("queue").topic("topic")
}

fn all_accepted(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Accepted)
}

fn all_unknown(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. }))
}

async fn accepted_again(broker: &RedisBroker, batch: &[Envelope]) {
    testkit::eventually(Duration::from_secs(20), async || match broker.publish(batch).await {
        outcomes if all_accepted(&outcomes) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
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
            assert!(!more.is_empty() && more.len() <= 100, "{} at once, only {} of 1200", more.len(), got.len());
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
        let broker = RedisBroker::new(proxy.url(), space.options()).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        broker.publish(&[envelope("topic", "warm")]).await;
        proxy.reset_counts();
        let batch: Vec<Envelope> = (0..500).map(|n| envelope("topic", &n.to_string())).collect();
        assert!(all_accepted(&broker.publish(&batch).await));
        let trips = proxy.round_trips();
        println!("500 messages: {trips} round trips to the broker");
        assert!(trips <= 50, "{trips} round trips: the answers were awaited one by one");
        broker.receive("queue", 100).await.unwrap().pop().unwrap().ack().await.unwrap();
        proxy.reset_counts();
        broker.receive("queue", 100).await.unwrap().pop().unwrap().ack().await.unwrap();
        assert_eq!(proxy.round_trips(), 2, "one to fetch a batch, one to settle a delivery");
    });
}

#[test]
fn an_answer_that_is_lost_is_unknown_and_the_repeat_is_stored_once() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let broker = RedisBroker::new(proxy.url(), space.options()).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        assert_eq!(broker.publish(&[envelope("topic", "warm")]).await, [Outcome::Accepted]);
        let sent = [envelope("topic", "lost")];
        proxy.set(Mode::DropReplyTo(b"id-lost".to_vec()));
        let outcomes = broker.publish(&sent).await;
        assert!(all_unknown(&outcomes), "{outcomes:?}");
        let other = space.broker();
        assert_eq!(other.depth("queue").await.unwrap().ready, 2, "the server has it");
        accepted_again(&broker, &sent).await;
        assert_eq!(other.depth("queue").await.unwrap().ready, 2, "and has it once");
    });
}

#[test]
fn a_repeat_is_stored_once_within_the_window_also_after_it_was_handled_and_again_behind_it() {
    block_on(async {
        let space = Space::fresh().await;
        let options = space.options().with_duplicate_window(Duration::from_millis(1500));
        let broker = RedisBroker::new(space.url(), options).unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        let twice = [envelope("topic", "a"), envelope("topic", "a")];
        assert!(all_accepted(&broker.publish(&twice).await));
        assert_eq!(broker.depth("queue").await.unwrap().ready, 1, "a repeat in the same batch");
        broker.receive("queue", 1).await.unwrap().pop().unwrap().ack().await.unwrap();
        assert!(all_accepted(&broker.publish(&twice[..1]).await));
        assert_eq!(broker.depth("queue").await.unwrap().open(), 0);
        testkit::eventually(Duration::from_secs(20), async || {
            broker.publish(&twice[..1]).await;
            if broker.depth("queue").await.unwrap().ready == 1 { Ok(()) } else { Err("still known") }
        })
        .await;
    });
}

#[test]
fn a_message_is_in_all_queues_of_its_topic_or_not_accepted() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        for queue in ["queue", "other"] {
            broker.subscribe(&Subscription::new(queue).topic("topic")).await.unwrap();
        }
        // Something else has taken the other queue's name.
        let stream = space.key("stream:other");
        let () = space.bare(cmd("DEL").arg(&stream)).await;
        let () = space.bare(cmd("SET").arg(&stream).arg("theirs")).await;
        let sent = [envelope("topic", "a")];
        let refused = broker.publish(&sent).await;
        assert!(
            matches!(&refused[0], Outcome::Rejected { permanent: false, reason } if reason.contains("WRONGTYPE")),
            "{refused:?}"
        );
        assert!(matches!(broker.receive("other", 1).await, Err(Error::Backend(_))));
        let () = space.bare(cmd("DEL").arg(&stream)).await;
        broker.subscribe(&Subscription::new("other").topic("topic")).await.unwrap();
        assert_eq!(broker.publish(&sent).await, [Outcome::Accepted]);
        assert_eq!(broker.depth("other").await.unwrap().ready, 1, "no mark was left by what was refused");
    });
}

#[test]
fn a_refused_message_leaves_those_around_it_alone() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        let () = space.bare(cmd("SET").arg(space.key("route:odd")).arg("no set")).await;
        let outcomes = broker.publish(&["topic", "odd", "nobody", "topic"].map(|topic| envelope(topic, topic))).await;
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Unroutable), "{outcomes:?}");
        assert!(matches!(outcomes[1], Outcome::Rejected { permanent: false, .. }), "{outcomes:?}");
        assert_eq!(outcomes[3], Outcome::Accepted);
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
fn the_largest_messages_arrive() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&subscription()).await.unwrap();
        let batch: Vec<Envelope> = (0..20)
            .map(|n| {
                let large = Message::to("topic").payload(vec![n; onceward_reliable_mq::message::MAX_PAYLOAD]).unwrap();
                Envelope::new(MessageId::parse(n.to_string()).unwrap(), large, 1)
            })
            .collect();
        assert!(all_accepted(&broker.publish(&batch).await));
        let got = broker.receive("queue", 20).await.unwrap();
        assert!(got.iter().map(|delivery| delivery.envelope()).eq(&batch));
    });
}

#[test]
fn a_broker_that_does_not_answer_leaves_every_outcome_unknown_and_comes_back() {
    block_on(async {
        for silence in [Mode::Stall, Mode::BlackHole] {
            let space = Space::fresh().await;
            let proxy = Proxy::in_front_of(space.url()).await;
            let short = Duration::from_millis(300);
            let options = space.options().with_timeout(short).with_confirm_timeout(short);
            let broker = RedisBroker::new(proxy.url(), options).unwrap();
            broker.subscribe(&subscription()).await.unwrap();
            assert_eq!(broker.publish(&[envelope("topic", "warm")]).await, [Outcome::Accepted]);
            proxy.set(silence);
            let (asked, batch) = (Instant::now(), [envelope("topic", "a"), envelope("topic", "b")]);
            let outcomes = broker.publish(&batch).await;
            assert_eq!((outcomes.len(), all_unknown(&outcomes)), (2, true), "{outcomes:?}");
            assert!(matches!(broker.health().await, Health::Down(_)));
            assert!(asked.elapsed() < Duration::from_secs(5));
            proxy.set(Mode::Pass);
            accepted_again(&broker, &batch).await;
            assert_eq!(broker.health().await, Health::Up);
            assert_eq!(broker.depth("queue").await.unwrap().ready, 3);
        }
    });
}

#[test]
fn what_the_broker_declares_the_server_must_be_set_for() {
    block_on(async {
        let space = Space::fresh().await;
        let declares = |options: RedisOptions| RedisBroker::new(space.url(), options).unwrap();
        // This server syncs its file every second.
        for fits in [Durability::Stored, Durability::Volatile] {
            let broker = declares(space.options().with_durability(fits));
            broker.subscribe(&subscription()).await.unwrap();
            assert_eq!(broker.capabilities().durability, fits);
        }
        let broker = declares(space.options().with_durability(Durability::Fsynced));
        let told = broker.health().await;
        assert!(matches!(&told, Health::Blocked(why) if why.contains("appendfsync is \"everysec\"")), "{told:?}");
        assert!(all_unknown(&broker.publish(&[envelope("topic", "a")]).await));
        assert!(broker.receive("queue", 1).await.is_err());
        assert_eq!(
            space.broker().depth("queue").await.unwrap().ready,
            0,
            "nothing was sent to a server that may forget"
        );
        let trusting = declares(space.options().with_durability(Durability::Fsynced).with_check(false));
        assert_eq!(trusting.publish(&[envelope("topic", "a")]).await, [Outcome::Accepted]);
        let more = RedisBroker::new(space.url(), space.options().with_durability(Durability::Replicated));
        assert!(matches!(more, Err(Error::Unsupported(_))));
    });
}

#[test]
fn a_user_without_rights_is_told_so() {
    block_on(async {
        let space = Space::fresh().await;
        space.broker().subscribe(&subscription()).await.unwrap();
        let user = testkit::namespace();
        let mut acl = cmd("ACL");
        let () = space.bare(acl.arg("SETUSER").arg(&user).arg("on").arg(">secret").arg("allkeys").arg("+@read")).await;
        let url = space.url().replace("redis://", &format!("redis://{user}:secret@"));
        let broker = RedisBroker::new(&url, space.options().with_check(false)).unwrap();
        let outcomes = broker.publish(&[envelope("topic", "a")]).await;
        let health = broker.health().await;
        let asking = RedisBroker::new(&url, space.options()).unwrap().health().await;
        let () = space.bare(cmd("ACL").arg("DELUSER").arg(&user)).await;
        assert!(
            matches!(&outcomes[0], Outcome::Rejected { permanent: false, reason } if reason.contains("no permissions")),
            "{outcomes:?}"
        );
        for told in [health, asking] {
            assert!(matches!(&told, Health::Blocked(why) if why.contains("no permissions")), "{told:?}");
        }
    });
}

#[test]
fn bad_addresses_and_prefixes_are_refused_and_nothing_shows_the_password() {
    let url = "redis://user:hidden-password@127.0.0.1:1";
    let broker = RedisBroker::new(url, RedisOptions::default()).unwrap();
    block_on(async {
        let heard = format!("{broker:?} {:?} {:?}", broker.health().await, broker.publish(&[envelope("t", "a")]).await);
        assert!(!heard.contains("hidden"), "{heard}");
    });
    let error = RedisBroker::new("redis://user:hidden-password@[::bad", RedisOptions::default()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hidden"));
    let error = RedisBroker::new(url, RedisOptions::default().with_prefix("{a}")).unwrap_err();
    assert!(matches!(error, Error::Message(MessageError::Name { .. })), "{error:?}");
}
