//! Queues as streams: names, order, deliveries, dead letters, what others write.

use std::{collections::BTreeSet, time::Duration};

use onceward_backend::{conformance::block_on, redis::cmd};
use onceward_reliable_mq::{Broker, Envelope, Error, MessageId, Outcome, RedisBroker, Subscription};

use crate::{Space, envelope};

async fn subscribed(space: &Space) -> RedisBroker {
    let broker = space.broker();
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    broker
}

async fn publish(broker: &RedisBroker, count: usize) -> Vec<String> {
    let batch: Vec<Envelope> = (0..count).map(|n| envelope("topic", &n.to_string())).collect();
    assert_eq!(broker.publish(&batch).await, vec![Outcome::Accepted; count]);
    batch.iter().map(|envelope| envelope.id.to_string()).collect()
}

#[test]
fn topics_and_queues_of_every_visible_character_arrive() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        let topics = ["orders.*", "a:b", "{x}", "50%", "a/b\\c+d", "orders", "?"];
        let queues = ["shop:mail", "{other}*[a]?", "shop", "mail:shop"];
        for queue in queues {
            let all = topics.iter().fold(Subscription::new(queue), |all, topic| all.topic(*topic));
            broker.subscribe(&all).await.unwrap();
        }
        for topic in topics {
            assert!(broker.routes(topic).await.unwrap(), "{topic}");
        }
        assert!(!broker.routes("orders.x").await.unwrap());
        let batch: Vec<Envelope> = topics.iter().map(|topic| envelope(topic, topic)).collect();
        assert_eq!(broker.publish(&batch).await, vec![Outcome::Accepted; topics.len()]);
        for queue in queues {
            let got = broker.receive(queue, 100).await.unwrap();
            assert!(got.iter().map(|delivery| delivery.envelope()).eq(&batch), "{queue}");
            for delivery in got {
                delivery.ack().await.unwrap();
            }
            assert_eq!(broker.depth(queue).await.unwrap().open(), 0, "{queue}: acknowledged for good");
        }
    });
}

#[test]
fn what_is_given_back_together_comes_again_in_the_order_of_the_queue() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space).await;
        let ids = publish(&broker, 50).await;
        let heard = async || {
            let got = broker.receive("queue", 40).await.unwrap();
            let heard: Vec<String> = got.iter().map(|delivery| delivery.envelope().id.to_string()).collect();
            (got, heard)
        };
        let (got, before) = heard().await;
        assert_eq!(before, ids[..40]);
        // Settled in whatever order.
        for delivery in got.into_iter().rev() {
            delivery.release().await.unwrap();
        }
        let (_, again) = heard().await;
        assert_eq!(again, ids[..40], "released: before those behind");
    });
}

#[test]
fn what_a_dead_process_had_in_hand_comes_again_in_order() {
    block_on(async {
        let space = Space::fresh().await;
        let options = space.options().with_visibility(Duration::from_millis(500));
        let process = || RedisBroker::new(space.url(), options.clone()).unwrap();
        let (dies, lives) = (process(), process());
        dies.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let ids = publish(&dies, 40).await;
        assert_eq!(dies.receive("queue", 40).await.unwrap().len(), 40);
        drop(dies);
        assert!(lives.receive("queue", 40).await.unwrap().is_empty(), "the leases hold");
        testkit::eventually(Duration::from_secs(20), async || match lives.depth("queue").await.unwrap().ready {
            40 => Ok(()),
            ready => Err(ready),
        })
        .await;
        let again = lives.receive("queue", 40).await.unwrap();
        let heard: Vec<&str> = again.iter().map(|delivery| delivery.envelope().id.as_str()).collect();
        assert_eq!(heard, ids);
        assert!(again.iter().all(|delivery| (delivery.failures(), delivery.deliveries()) == (0, 2)));
    });
}

#[test]
fn a_delivery_that_is_late_but_not_replaced_may_still_be_settled() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = RedisBroker::new(space.url(), space.options().with_visibility(Duration::from_millis(1))).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        publish(&broker, 1).await;
        let late = broker.receive("queue", 1).await.unwrap().pop().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(broker.depth("queue").await.unwrap().ready, 1, "its lease is over");
        late.ack().await.unwrap();
        assert_eq!(broker.depth("queue").await.unwrap().open(), 0);
    });
}

#[test]
fn a_delivery_from_before_a_replay_cannot_touch_what_was_replayed() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = RedisBroker::new(space.url(), space.options().with_visibility(Duration::from_millis(50))).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        publish(&broker, 1).await;
        let next = async || {
            testkit::eventually(Duration::from_secs(20), async || {
                broker.receive("queue", 1).await.unwrap().pop().ok_or("not yet")
            })
            .await
        };
        let (one, two) = (next().await, next().await);
        two.reject("no good").await.unwrap();
        assert!(broker.replay("queue", &MessageId::parse("id-0").unwrap()).await.unwrap());
        let three = next().await;
        assert_eq!((three.deliveries(), three.failures()), (1, 0), "with a fresh budget");
        assert!(matches!(one.ack().await, Err(Error::LeaseLost)));
        three.ack().await.unwrap();
    });
}

#[test]
fn failures_are_counted_across_processes_and_nothing_stays_of_what_is_done() {
    block_on(async {
        let space = Space::fresh().await;
        let (one, two) = (subscribed(&space).await, space.broker());
        let fresh = space.keys().await;
        publish(&one, 1).await;
        for failures in 0..3 {
            let broker = if failures % 2 == 0 { &one } else { &two };
            let delivery = broker.receive("queue", 1).await.unwrap().pop().unwrap();
            assert_eq!((delivery.failures(), delivery.deliveries()), (failures, failures + 1));
            delivery.retry(Duration::ZERO, "on purpose").await.unwrap();
        }
        two.receive("queue", 1).await.unwrap().pop().unwrap().ack().await.unwrap();
        assert_eq!(space.keys().await, fresh, "leases, states and pauses went with it");
        assert_eq!(space.bare::<u64>(cmd("XLEN").arg(space.key("stream:queue"))).await, 0);
    });
}

#[test]
fn a_pause_is_kept_to_the_moment() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space).await;
        publish(&broker, 3).await;
        let pauses = [Duration::from_secs(3600), Duration::from_millis(300), Duration::MAX];
        for (delivery, pause) in broker.receive("queue", 3).await.unwrap().into_iter().zip(pauses) {
            delivery.retry(pause, "later").await.unwrap();
        }
        let begun = std::time::Instant::now();
        assert_eq!(broker.depth("queue").await.unwrap().delayed, 3);
        let again = testkit::eventually(Duration::from_secs(20), async || {
            broker.receive("queue", 3).await.unwrap().pop().ok_or("not yet")
        })
        .await;
        assert_eq!(again.envelope().id.as_str(), "id-1");
        assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
        assert_eq!(broker.depth("queue").await.unwrap().delayed, 2);
    });
}

#[test]
fn a_message_that_was_replayed_and_rejected_again_is_dead_again() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space).await;
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
fn a_repeat_that_dies_as_well_takes_the_place_of_the_one_before() {
    block_on(async {
        let space = Space::fresh().await;
        let options = space.options().with_duplicate_window(Duration::from_millis(1));
        let broker = RedisBroker::new(space.url(), options).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        for reason in ["first", "second"] {
            publish(&broker, 1).await;
            broker.receive("queue", 1).await.unwrap().pop().unwrap().reject(reason).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let dead = broker.dead("queue", 10).await.unwrap();
        assert_eq!((dead.len(), dead[0].reason.as_str()), (1, "second"));
        assert_eq!(broker.depth("queue").await.unwrap().dead, 1);
        let id = MessageId::parse("id-0").unwrap();
        assert!(broker.replay("queue", &id).await.unwrap());
        assert!(!broker.replay("queue", &id).await.unwrap());
        assert_eq!(broker.depth("queue").await.unwrap().ready, 1);
    });
}

#[test]
fn many_dead_letters_are_listed_in_pages_the_oldest_first() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space).await;
        let ids = publish(&broker, 250).await;
        loop {
            let batch = broker.receive("queue", 100).await.unwrap();
            if batch.is_empty() {
                break;
            }
            for delivery in batch {
                delivery.reject(&"x".repeat(5000)).await.unwrap();
            }
        }
        for limit in [0, 1, 100, 249, 250, 1000] {
            let dead = broker.dead("queue", limit).await.unwrap();
            let heard: Vec<&str> = dead.iter().map(|dead| dead.envelope.id.as_str()).collect();
            assert_eq!(heard, ids[..limit.min(250)]);
        }
        assert_eq!(broker.dead("queue", 1).await.unwrap()[0].reason.len(), 2000, "a reason is kept in bounds");
        let replayed: BTreeSet<&String> = ids.iter().take(3).collect();
        for id in &replayed {
            assert!(broker.replay("queue", &MessageId::parse(id.as_str()).unwrap()).await.unwrap());
        }
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.ready, depth.dead), (3, 247));
    });
}

#[test]
fn a_replay_goes_to_the_one_queue_that_had_it() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space).await;
        broker.subscribe(&Subscription::new("other").topic("topic")).await.unwrap();
        publish(&broker, 1).await;
        broker.receive("queue", 1).await.unwrap().pop().unwrap().reject("no good").await.unwrap();
        assert!(broker.replay("queue", &MessageId::parse("id-0").unwrap()).await.unwrap());
        assert_eq!(broker.depth("queue").await.unwrap().ready, 1);
        assert_eq!(broker.depth("other").await.unwrap().ready, 1, "its own copy and no second");
        for unknown in
            [broker.dead("nobody", 1).await.err(), broker.replay("nobody", &envelope("t", "a").id).await.err()]
        {
            assert!(matches!(unknown, Some(Error::UnknownQueue(_))), "{unknown:?}");
        }
    });
}

#[test]
fn what_others_write_is_delivered_with_an_id_and_parked_without() {
    block_on(async {
        let space = Space::fresh().await;
        let stream = space.key("stream:queue");
        // Before the queue is declared, even.
        let () = space.bare(cmd("XADD").arg(&stream).arg("*").arg("id").arg("early").arg("topic").arg("t")).await;
        let broker = subscribed(&space).await;
        let mut theirs = cmd("XADD");
        theirs.arg(&stream).arg("*").arg(&["id", "theirs", "topic", "orders.new", "payload", "a"]);
        let () = space.bare(&theirs).await;
        let () = space.bare(cmd("XADD").arg(&stream).arg("*").arg("payload").arg("no id")).await;
        let got = broker.receive("queue", 10).await.unwrap();
        let heard: Vec<(&str, &str)> =
            got.iter().map(|delivery| (delivery.envelope().id.as_str(), delivery.envelope().topic())).collect();
        assert_eq!(heard, [("early", "t"), ("theirs", "orders.new")]);
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.leased, depth.dead), (2, 1), "kept for a person to look at");
        assert!(broker.dead("queue", 10).await.unwrap().is_empty());
    });
}

#[test]
fn what_somebody_deletes_by_hand_is_gone_and_in_nobody_s_way() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = RedisBroker::new(space.url(), space.options().with_visibility(Duration::from_millis(50))).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let fresh = space.keys().await;
        publish(&broker, 3).await;
        let mut held = broker.receive("queue", 3).await.unwrap();
        held.pop().unwrap().retry(Duration::from_millis(50), "later").await.unwrap();
        let () = space.bare(cmd("XTRIM").arg(space.key("stream:queue")).arg("MAXLEN").arg(0)).await;
        assert_eq!(broker.depth("queue").await.unwrap().ready, 0);
        testkit::eventually(Duration::from_secs(20), async || {
            assert!(broker.receive("queue", 10).await.unwrap().is_empty());
            match space.keys().await {
                keys if keys == fresh => Ok(()),
                keys => Err(format!("{keys:?}")),
            }
        })
        .await;
    });
}

#[test]
fn a_queue_that_somebody_deletes_by_hand_takes_nothing_until_it_is_declared_again() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space).await;
        let () = space.bare(cmd("DEL").arg(space.key("stream:queue"))).await;
        assert_eq!(broker.publish(&[envelope("topic", "a")]).await, [Outcome::Unroutable]);
        assert!(matches!(broker.receive("queue", 1).await, Err(Error::UnknownQueue(_))));
        subscribed(&space).await;
        assert_eq!(broker.publish(&[envelope("topic", "a")]).await, [Outcome::Accepted]);
        assert_eq!(broker.receive("queue", 1).await.unwrap().len(), 1);
    });
}

#[test]
fn what_is_removed_is_gone_and_another_prefix_keeps_its_own() {
    block_on(async {
        let space = Space::fresh().await;
        let named = |last: &str| {
            let prefix = format!("{}{last}", space.options().prefix);
            RedisBroker::new(space.url(), space.options().with_prefix(prefix)).unwrap()
        };
        let (one, two) = (named("one:"), named("two:"));
        for broker in [&one, &two] {
            broker.subscribe(&Subscription::new("queue").topic("topic").topic("more")).await.unwrap();
            publish(broker, 3).await;
        }
        let mut held = one.receive("queue", 3).await.unwrap();
        held.pop().unwrap().reject("no good").await.unwrap();
        held.pop().unwrap().retry(Duration::from_secs(60), "later").await.unwrap();
        one.remove("queue").await.unwrap();
        assert!(matches!(held.pop().unwrap().ack().await, Err(Error::LeaseLost)));
        assert!(matches!(one.depth("queue").await, Err(Error::UnknownQueue(_))));
        assert!(matches!(one.receive("queue", 1).await, Err(Error::UnknownQueue(_))));
        assert_eq!(one.publish(&[envelope("more", "b")]).await, [Outcome::Unroutable]);
        assert!(space.keys().await.iter().all(|key| !key.contains("one:")), "{:?}", space.keys().await);
        assert_eq!(two.depth("queue").await.unwrap().ready, 3);
        one.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        assert_eq!(one.depth("queue").await.unwrap().open(), 0, "nothing came back with the name");
    });
}
