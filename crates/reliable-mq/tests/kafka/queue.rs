//! What a process has of a queue, and what becomes of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use futures_util::future::join_all;
use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Delivery, Envelope, Error, KafkaBroker, Message, MessageId, Outcome, Subscription};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

use crate::{Space, envelope};

const WHILE: Duration = Duration::from_secs(20);

/// So many deliveries of a queue.
pub async fn all(broker: &KafkaBroker, queue: &str, count: usize) -> Vec<Box<dyn Delivery>> {
    let got = RefCell::new(Vec::new());
    testkit::eventually(WHILE, async || {
        let more = broker.receive(queue, count).await.map_err(|error| error.to_string())?;
        got.borrow_mut().extend(more);
        let so_far = got.borrow().len();
        if so_far >= count { Ok(()) } else { Err(format!("{so_far} of {count}")) }
    })
    .await;
    assert_eq!(got.borrow().len(), count);
    got.into_inner()
}

async fn subscribed(space: &Space) -> KafkaBroker {
    let broker = space.broker();
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    broker
}

async fn publish(broker: &KafkaBroker, texts: impl IntoIterator<Item = usize>) {
    let batch: Vec<Envelope> = texts.into_iter().map(|n| envelope("topic", &n.to_string())).collect();
    assert_eq!(broker.publish(&batch).await, vec![Outcome::Accepted; batch.len()]);
}

fn ids(got: &[Box<dyn Delivery>]) -> BTreeSet<String> {
    got.iter().map(|delivery| delivery.envelope().id.to_string()).collect()
}

#[test]
fn what_was_acknowledged_stays_away_and_the_rest_goes_to_the_next_process() {
    block_on(async {
        let space = Space::fresh();
        let first = subscribed(&space).await;
        publish(&first, 0..20).await;
        let (mut done, mut open) = (BTreeSet::new(), BTreeSet::new());
        for (n, delivery) in all(&first, "queue", 20).await.into_iter().enumerate() {
            let id = delivery.envelope().id.to_string();
            // Behind one that is not done, what is done may come again; none of these is lost either way.
            if n < 10 {
                done.insert(id);
                delivery.ack().await.unwrap();
            } else {
                open.insert(id);
            }
        }
        first.close().await.unwrap();
        let second = subscribed(&space).await;
        let got = RefCell::new(BTreeSet::new());
        testkit::eventually(WHILE, async || {
            let more = ids(&second.receive("queue", 100).await.unwrap());
            got.borrow_mut().extend(more);
            if got.borrow().is_superset(&open) { Ok(()) } else { Err(format!("{got:?}")) }
        })
        .await;
        println!("{} came again that were done", got.borrow().intersection(&done).count());
        assert!(matches!(first.receive("queue", 1).await, Err(Error::UnknownQueue(_))), "it has left");
    });
}

#[test]
fn what_is_done_in_order_never_comes_again() {
    block_on(async {
        let space = Space::fresh();
        let first = subscribed(&space).await;
        publish(&first, 0..30).await;
        for delivery in all(&first, "queue", 30).await {
            delivery.ack().await.unwrap();
        }
        assert_eq!(first.depth("queue").await.unwrap().open(), 0);
        first.close().await.unwrap();
        let second = subscribed(&space).await;
        publish(&second, [99]).await;
        assert_eq!(ids(&all(&second, "queue", 1).await), BTreeSet::from(["id-99".to_owned()]));
        assert_eq!(second.depth("queue").await.unwrap().ready, 0);
    });
}

#[test]
fn a_retry_and_what_was_given_up_outlive_their_process() {
    block_on(async {
        let space = Space::fresh();
        let first = subscribed(&space).await;
        publish(&first, 0..2).await;
        for delivery in all(&first, "queue", 2).await {
            match delivery.envelope().id.as_str() {
                "id-0" => delivery.retry(Duration::from_millis(10), "later").await.unwrap(),
                _ => delivery.reject("never").await.unwrap(),
            }
        }
        first.close().await.unwrap();
        let second = subscribed(&space).await;
        let again = all(&second, "queue", 1).await.remove(0);
        assert_eq!((again.envelope().id.as_str(), again.failures(), again.deliveries()), ("id-0", 1, 2));
        again.reject("at last").await.unwrap();
        let dead = second.dead("queue", 10).await.unwrap();
        let told: Vec<_> = dead.iter().map(|dead| (dead.envelope.id.as_str(), dead.reason.as_str())).collect();
        assert_eq!(told, [("id-1", "never"), ("id-0", "at last")]);
        assert_eq!(second.dead("queue", 1).await.unwrap().len(), 1);
    });
}

#[test]
fn many_retries_that_wait_hold_nothing_back() {
    block_on(async {
        let space = Space::fresh();
        let broker = subscribed(&space).await;
        publish(&broker, 0..1500).await;
        let hour = Duration::from_secs(3600);
        let put_back = join_all(all(&broker, "queue", 1500).await.into_iter().map(|delivery| delivery.retry(hour, "")));
        put_back.await.into_iter().for_each(|done| done.unwrap());
        publish(&broker, 2000..2010).await;
        let expected: BTreeSet<String> = (2000..2010).map(|n| format!("id-{n}")).collect();
        assert_eq!(ids(&all(&broker, "queue", 10).await), expected);
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.delayed, depth.leased, depth.ready), (1500, 10, 0));
    });
}

#[test]
fn what_others_publish_comes_under_an_id_that_stays() {
    block_on(async {
        let space = Space::fresh();
        let broker = subscribed(&space).await;
        let theirs: FutureProducer = ClientConfig::new().set("bootstrap.servers", space.servers()).create().unwrap();
        let topic = space.topic("topic");
        for text in ["a", "b"] {
            theirs.send(FutureRecord::to(&topic).key("k").payload(text), WHILE).await.unwrap();
        }
        let mut got = all(&broker, "queue", 2).await;
        let (second, first) = (got.remove(1), got.remove(0));
        assert_ne!(first.envelope().id, second.envelope().id);
        assert_eq!((first.envelope().topic(), first.envelope().key()), ("topic", Some("k")));
        let id = first.envelope().id.clone();
        first.retry(Duration::ZERO, "once more").await.unwrap();
        let again = all(&broker, "queue", 1).await.remove(0);
        assert_eq!((&again.envelope().id, again.failures()), (&id, 1));
        again.reject("enough").await.unwrap();
        assert_eq!(broker.dead("queue", 9).await.unwrap()[0].envelope.id, id);
        assert!(broker.replay("queue", &id).await.unwrap());
        assert_eq!(all(&broker, "queue", 1).await[0].envelope().id, id);
    });
}

#[test]
fn a_message_without_a_payload_is_parked_like_any_other() {
    block_on(async {
        let space = Space::fresh();
        let broker = subscribed(&space).await;
        publish(&broker, [1]).await;
        let empty = Envelope::new(MessageId::parse("empty").unwrap(), Message::to("topic").text("").unwrap(), 1);
        assert_eq!(broker.publish(&[empty]).await, [Outcome::Accepted]);
        for delivery in all(&broker, "queue", 2).await {
            delivery.reject("no").await.unwrap();
        }
        // At the cluster, that nothing is under a key any more is said with no payload.
        let dead = broker.dead("queue", 9).await.unwrap();
        let told: BTreeSet<_> = dead.iter().map(|dead| dead.envelope.id.as_str()).collect();
        assert_eq!(told, BTreeSet::from(["empty", "id-1"]));
    });
}

#[test]
fn a_process_that_only_declares_a_queue_keeps_nothing_of_it() {
    block_on(async {
        let space = Space::fresh();
        // A real cluster would leave the first its part for minutes if it joined the group; the mock shares out anew.
        let (declares, consumes) = (subscribed(&space).await, subscribed(&space).await);
        publish(&declares, 0..60).await;
        assert_eq!(all(&consumes, "queue", 60).await.len(), 60);
    });
}

#[test]
fn two_processes_share_a_queue() {
    block_on(async {
        let space = Space::fresh();
        let (first, second) = (subscribed(&space).await, subscribed(&space).await);
        let (got, sent) = (RefCell::new([BTreeSet::new(), BTreeSet::new()]), Cell::new(0));
        let receive = async || {
            for (n, broker) in [&first, &second].into_iter().enumerate() {
                for delivery in broker.receive("queue", 100).await.unwrap() {
                    got.borrow_mut()[n].insert(delivery.envelope().id.to_string());
                    // Its partition may have gone to the other meanwhile.
                    let _ = delivery.ack().await;
                }
            }
        };
        // It takes a while until they have agreed.
        testkit::eventually(WHILE, async || {
            publish(&first, sent.get()..sent.get() + 20).await;
            sent.set(sent.get() + 20);
            receive().await;
            let idle = got.borrow().iter().any(BTreeSet::is_empty);
            if idle { Err(format!("{:?}", got.borrow().each_ref().map(BTreeSet::len))) } else { Ok(()) }
        })
        .await;
        testkit::eventually(WHILE, async || {
            receive().await;
            let all = got.borrow()[0].union(&got.borrow()[1]).count();
            if all == sent.get() { Ok(()) } else { Err(format!("{all} of {}", sent.get())) }
        })
        .await;
    });
}

#[test]
fn a_queue_that_is_removed_is_gone_with_its_dead_and_its_topic_stays() {
    block_on(async {
        let space = Space::fresh();
        let options = space.options().with_timeout(Duration::from_secs(2));
        let broker = KafkaBroker::new(space.servers(), options).unwrap();
        let subscription = Subscription::new("queue").topic("topic");
        broker.subscribe(&subscription).await.unwrap();
        publish(&broker, 0..2).await;
        for delivery in all(&broker, "queue", 2).await {
            delivery.reject("no").await.unwrap();
        }
        let removed = broker.remove("queue").await;
        assert!(matches!(broker.depth("queue").await, Err(Error::UnknownQueue(_))));
        assert!(broker.routes("topic").await.unwrap());
        if space.is_mocked() {
            // It takes no such request.
            assert!(removed.unwrap_err().to_string().contains("deleting topics"));
            return;
        }
        removed.unwrap();
        assert!(matches!(broker.dead("queue", 9).await, Err(Error::UnknownQueue(_))));
        broker.subscribe(&subscription).await.unwrap();
        publish(&broker, [7]).await;
        assert_eq!(ids(&all(&broker, "queue", 1).await), BTreeSet::from(["id-7".to_owned()]));
        assert_eq!(broker.dead("queue", 9).await.unwrap(), []);
    });
}
