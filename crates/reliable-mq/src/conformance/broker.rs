//! The clauses of [`Broker`]. Each function is one test; `make` answers an empty broker and what keeps it alive.
#![allow(missing_docs, reason = "the names say it; they are what the test output shows")]

use std::{sync::Arc, time::Duration};

use onceward_backend::conformance::skipped;
use tokio::{sync::Mutex, task::JoinSet};

use super::{eventually, message, ok, text};
use crate::{
    Broker, Delivery, Envelope, Error, Message, MessageId, Origin, Outcome, Subscription, TraceContext, ident,
    message::{REPLAY_WINDOW, Replay},
};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

type Made<G> = (Arc<dyn Broker>, G);

fn envelope(text: &str) -> Envelope {
    ident::envelope(&message("topic", text), 1)
}

async fn queue<G>(make: &impl AsyncFn(Duration) -> Made<G>, visibility: Duration) -> Made<G> {
    let (broker, guard) = make(visibility).await;
    ok(broker.subscribe(&Subscription::new("queue").topic("topic")).await);
    (broker, guard)
}

async fn publish(broker: &Arc<dyn Broker>, texts: &[&str]) -> Vec<MessageId> {
    let batch: Vec<Envelope> = texts.iter().map(|text| envelope(text)).collect();
    let outcomes = broker.publish(&batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
    batch.into_iter().map(|envelope| envelope.id).collect()
}

async fn one(broker: &Arc<dyn Broker>) -> Option<Box<dyn Delivery>> {
    ok(broker.receive("queue", 1).await).pop()
}

async fn next(broker: &Arc<dyn Broker>) -> Box<dyn Delivery> {
    eventually("a delivery", || one(broker)).await
}

/// So many deliveries: what was published a moment ago may still be on its way here.
async fn several(broker: &Arc<dyn Broker>, queue: &str, count: usize) -> Vec<Box<dyn Delivery>> {
    let got = Mutex::new(Vec::new());
    eventually("the deliveries", || async {
        let more = ok(broker.receive(queue, 100).await);
        let mut got = got.lock().await;
        got.extend(more);
        (got.len() >= count).then_some(())
    })
    .await;
    let got = got.into_inner();
    assert_eq!(got.len(), count, "{queue}");
    got
}

pub async fn each_message_has_its_own_outcome_in_order<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    let batch: Vec<Envelope> = (0..10)
        .map(|n| ident::envelope(&message(if n % 3 == 0 { "nobody" } else { "topic" }, &n.to_string()), 1))
        .collect();
    let outcomes = broker.publish(&batch).await;
    assert_eq!(outcomes.len(), batch.len());
    for (n, outcome) in outcomes.iter().enumerate() {
        let expected = if n % 3 == 0 { Outcome::Unroutable } else { Outcome::Accepted };
        assert_eq!(*outcome, expected, "{n}");
    }
    several(&broker, "queue", 6).await;
}

pub async fn an_empty_batch_has_no_outcomes<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    assert!(broker.publish(&[]).await.is_empty());
}

pub async fn a_message_arrives_as_it_was_published<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let full = ok(Message::to("topic").key("k/1").header("ünï", "wört 🦀").payload(bytes));
    let origin = Origin { lane: 3, sequence: 42, epoch: 7 };
    let sent = Envelope::new(ok(MessageId::parse("my-own")), full, 1_795_000_000_000_001).with_origin(origin);
    assert_eq!(broker.publish(std::slice::from_ref(&sent)).await, [Outcome::Accepted]);
    let delivery = next(&broker).await;
    assert_eq!(*delivery.envelope(), sent);
    assert_eq!((delivery.failures(), delivery.deliveries()), (0, 1));
    ok(delivery.ack().await);
}

pub async fn headers_that_have_a_meaning_arrive_unchanged<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    let trace = TraceContext::read([
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "acme@shop=a b!,other=1"),
        ("baggage", "user=alice%20b;public,plan=free"),
    ]);
    let draft = Message::to("topic").tenant("acme/\"eu\"").content_type("text/plain; charset=utf-8").trace(&trace);
    let mut message = ok(draft.text(""));
    // Said by the store when it sends a dead letter once more.
    message.headers.insert(REPLAY_WINDOW.to_owned(), Replay::new(Some(LONG)).header());
    let sent = ident::envelope(&message, 1);
    assert_eq!(broker.publish(std::slice::from_ref(&sent)).await, [Outcome::Accepted]);
    let first = next(&broker).await;
    assert_eq!(*first.envelope(), sent);
    // They are there as well when it comes again.
    ok(first.retry(SHORT, "on purpose").await);
    let again = next(&broker).await;
    let came = again.envelope();
    assert_eq!((came.tenant(), came.content_type()), (Some("acme/\"eu\""), Some("text/plain; charset=utf-8")));
    assert_eq!((came.trace(), came.headers().len()), (trace, 6));
    assert_eq!(came.replay(), sent.replay());
}

pub async fn each_queue_gets_every_message<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    ok(broker.subscribe(&Subscription::new("second").topic("other").topic("topic")).await);
    publish(&broker, &["a"]).await;
    for queue in ["queue", "second"] {
        ok(several(&broker, queue, 1).await.remove(0).ack().await);
    }
}

pub async fn one_id_in_two_topics_is_two_messages<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    ok(broker.subscribe(&Subscription::new("second").topic("other")).await);
    let first = envelope("a");
    let second = Envelope::new(first.id.clone(), ok(Message::to("other").text("b")), first.enqueued_at);
    for sent in [first, second] {
        assert_eq!(broker.publish(&[sent]).await, [Outcome::Accepted]);
    }
    for (queue, expected) in [("queue", "a"), ("second", "b")] {
        let delivery = several(&broker, queue, 1).await.remove(0);
        assert_eq!(text(delivery.envelope()), expected);
        ok(delivery.ack().await);
    }
}

pub async fn a_topic_is_routed_once_a_queue_takes_it<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = make(LONG).await;
    assert!(!ok(broker.routes("topic").await));
    assert_eq!(broker.publish(&[envelope("a")]).await, [Outcome::Unroutable]);
    ok(broker.subscribe(&Subscription::new("queue").topic("topic")).await);
    assert!(ok(broker.routes("topic").await));
    assert!(one(&broker).await.is_none(), "what was unroutable is not kept");
}

pub async fn a_subscription_may_be_repeated<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    publish(&broker, &["a"]).await;
    ok(broker.subscribe(&Subscription::new("queue").topic("topic").topic("more")).await);
    publish(&broker, &["b"]).await;
    several(&broker, "queue", 2).await;
    assert!(ok(broker.routes("more").await));
}

pub async fn bad_names_are_refused<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = make(LONG).await;
    for bad in [
        Subscription::new("q"),
        Subscription::new("").topic("t"),
        Subscription::new("a b").topic("t"),
        Subscription::new("q").topic("ü"),
    ] {
        assert!(matches!(broker.subscribe(&bad).await, Err(Error::Message(_))), "{bad:?}");
    }
}

pub async fn a_queue_that_nobody_declared_is_an_error<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = make(LONG).await;
    // A consumer takes its bell before it declares its queue.
    let _bell = broker.arrivals("nobody");
    assert!(matches!(broker.receive("nobody", 1).await, Err(Error::UnknownQueue(_))));
    assert!(matches!(broker.depth("nobody").await, Err(Error::UnknownQueue(_))));
}

pub async fn deliveries_keep_the_order_of_the_publishes<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    for batch in [0..3, 3..5] {
        let message = |n: i32| ok(Message::to("topic").key("key").text(n.to_string()));
        let batch: Vec<Envelope> = batch.map(|n| ident::envelope(&message(n), 1)).collect();
        assert_eq!(broker.publish(&batch).await, vec![Outcome::Accepted; batch.len()]);
    }
    for n in 0..5 {
        let delivery = next(&broker).await;
        assert_eq!(text(delivery.envelope()), n.to_string());
        ok(delivery.ack().await);
    }
}

pub async fn of_32_consumers_one_gets_each_message<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    let texts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    publish(&broker, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut consumers, handled) = (JoinSet::new(), Arc::new(Mutex::new(Vec::new())));
    for _ in 0..32 {
        let (broker, handled) = (Arc::clone(&broker), Arc::clone(&handled));
        consumers.spawn(async move {
            eventually("all deliveries", || async {
                if let Some(delivery) = one(&broker).await {
                    handled.lock().await.push(text(delivery.envelope()));
                    ok(delivery.ack().await);
                }
                (handled.lock().await.len() >= 100).then_some(())
            })
            .await;
        });
    }
    consumers.join_all().await;
    let mut all: Vec<usize> = handled.lock().await.iter().map(|text| ok(text.parse())).collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

pub async fn an_acknowledged_message_is_gone<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    publish(&broker, &["a"]).await;
    assert_eq!(ok(broker.depth("queue").await).ready, 1);
    let delivery = next(&broker).await;
    assert_eq!(ok(broker.depth("queue").await).leased, 1);
    ok(delivery.ack().await);
    assert_eq!(ok(broker.depth("queue").await).open(), 0);
}

pub async fn an_unsettled_delivery_comes_back<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, SHORT).await;
    if !broker.capabilities().redelivers {
        skipped("this broker redelivers only after a restart");
        return;
    }
    publish(&broker, &["a"]).await;
    drop(next(&broker).await);
    let again = next(&broker).await;
    assert_eq!((text(again.envelope()).as_str(), again.failures()), ("a", 0));
    assert!(again.deliveries() >= 2);
}

pub async fn a_late_settle_cannot_touch_the_next_delivery<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, SHORT).await;
    if !broker.capabilities().redelivers {
        skipped("this broker redelivers only after a restart");
        return;
    }
    publish(&broker, &["a"]).await;
    let mut late: Vec<Box<dyn Delivery>> = Vec::new();
    for _ in 0..4 {
        late.push(next(&broker).await);
    }
    let _current = next(&broker).await;
    for (n, delivery) in late.into_iter().enumerate() {
        let settled = match n {
            0 => delivery.ack().await,
            1 => delivery.retry(LONG, "late").await,
            2 => delivery.release().await,
            _ => delivery.reject("late").await,
        };
        assert!(matches!(settled, Err(Error::LeaseLost)), "{n}: {settled:?}");
    }
    let depth = ok(broker.depth("queue").await);
    assert_eq!((depth.open(), depth.dead), (1, 0));
}

pub async fn a_retry_waits_and_counts<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    publish(&broker, &["bad", "good"]).await;
    ok(next(&broker).await.retry(LONG, "on purpose").await);
    assert_eq!(ok(broker.depth("queue").await).delayed, 1);
    let good = next(&broker).await;
    assert_eq!(text(good.envelope()), "good", "a failing message is not in the way of others");
    ok(good.retry(SHORT, "on purpose").await);
    let again = next(&broker).await;
    assert_eq!((text(again.envelope()).as_str(), again.failures(), again.deliveries()), ("good", 1, 2));
}

pub async fn a_release_spends_nothing<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    publish(&broker, &["a"]).await;
    ok(next(&broker).await.release().await);
    let again = next(&broker).await;
    assert_eq!((again.failures(), again.deliveries()), (0, 2));
}

pub async fn a_rejected_delivery_is_listed_and_replayed<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    if !broker.capabilities().dead_letters {
        skipped("this broker keeps no dead letters");
        return;
    }
    let ids = publish(&broker, &["a", "b"]).await;
    ok(next(&broker).await.reject("no good").await);
    ok(next(&broker).await.ack().await);
    let dead = ok(broker.dead("queue", 10).await);
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0].envelope.id, dead[0].failures, dead[0].reason.as_str()), (&ids[0], 1, "no good"));
    assert!(one(&broker).await.is_none());
    assert!(!ok(broker.replay("queue", &ids[1]).await), "it was acknowledged");
    assert!(ok(broker.replay("queue", &ids[0]).await));
    assert!(!ok(broker.replay("queue", &ids[0]).await), "once");
    let again = next(&broker).await;
    assert_eq!((again.envelope().id.clone(), again.failures()), (ids[0].clone(), 0), "with a fresh budget");
    assert_eq!(ok(broker.depth("queue").await).dead, 0);
}

pub async fn a_dead_delivery_is_discarded_for_good<G>(make: impl AsyncFn(Duration) -> Made<G>) {
    let (broker, _guard) = queue(&make, LONG).await;
    if !broker.capabilities().dead_letters {
        skipped("this broker keeps no dead letters");
        return;
    }
    let ids = publish(&broker, &["a", "b", "c"]).await;
    for _ in 0..2 {
        ok(next(&broker).await.reject("no good").await);
    }
    assert!(!ok(broker.discard("queue", &ids[2]).await), "it is alive");
    assert!(ok(broker.discard("queue", &ids[0]).await));
    assert!(!ok(broker.discard("queue", &ids[0]).await), "once");
    assert!(!ok(broker.replay("queue", &ids[0]).await), "for good");
    let dead = ok(broker.dead("queue", 10).await);
    assert_eq!(dead.iter().map(|dead| &dead.envelope.id).collect::<Vec<_>>(), [&ids[1]], "nobody else");
    assert_eq!(next(&broker).await.envelope().id, ids[2]);
}
