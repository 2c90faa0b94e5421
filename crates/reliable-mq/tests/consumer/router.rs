//! Handlers by topic.

use std::sync::Arc;

use onceward_backend::{
    conformance::block_on,
    sqlx::{self, Sqlite},
};
use onceward_reliable_mq::{
    Broker, Consumer, Envelope, Error, HandlerError, Message, MessageId, Outcome, Router, Subscription, Tx,
};
use serde::Deserialize;

use crate::{Fixture, WHILE, note, options};

#[derive(Deserialize)]
struct Confirmed {
    order: i64,
}

async fn say(tx: &mut Tx<Sqlite>, what: String) -> Result<(), HandlerError> {
    sqlx::query("insert into effect (what) values (?)").bind(what).execute(&mut **tx).await?;
    Ok(())
}

fn router() -> Router<Sqlite> {
    Router::new()
        .on("confirmed", async |mut tx, confirmed: Confirmed, message| {
            say(&mut tx, format!("{} of {}", confirmed.order, message.id.as_str())).await
        })
        .on("cancelled", async |mut tx, order: i64, _| say(&mut tx, format!("{order} no more")).await)
        .on_raw("raw", note)
}

async fn publish(broker: &dyn Broker, topic: &str, id: &str, text: &str) -> Outcome {
    let message = Message::to(topic).text(text).unwrap();
    broker.publish(&[Envelope::new(MessageId::parse(id).unwrap(), message, 1)]).await.remove(0)
}

#[test]
fn each_topic_has_its_handler_and_what_it_reads() {
    block_on(async {
        let fixture = Fixture::new().await;
        let broker = Arc::clone(&fixture.broker);
        let consumer = Consumer::routed(Arc::clone(&broker), "routed", fixture.inbox.clone(), router()).unwrap();
        consumer.step().await.unwrap();
        for (topic, id, text) in [
            ("confirmed", "a", "{\"order\":7}"),
            ("cancelled", "b", "8"),
            ("raw", "c", "as it is"),
            ("confirmed", "a", "{\"order\":7}"),
        ] {
            assert_eq!(publish(&*broker, topic, id, text).await, Outcome::Accepted);
        }
        assert_eq!(publish(&*broker, "unheard", "d", "").await, Outcome::Unroutable, "it asks for its topics only");
        let consumed = consumer.drain(WHILE).await.unwrap();
        assert_eq!((consumed.first, consumed.duplicates), (3, 1));
        assert_eq!(fixture.effects().await, ["7 of a", "8 no more", "as it is"]);
    });
}

#[test]
fn what_cannot_be_read_or_has_no_handler_is_parked_with_the_reason() {
    block_on(async {
        let fixture = Fixture::new().await;
        let broker = Arc::clone(&fixture.broker);
        // An older version of the service took one topic more, and its queue still gets it.
        broker.subscribe(&Subscription::new("routed").topic("dropped")).await.unwrap();
        let consumer = Consumer::routed(Arc::clone(&broker), "routed", fixture.inbox.clone(), router()).unwrap();
        let consumer = consumer.with_options(options(3));
        consumer.step().await.unwrap();
        for (topic, id) in [("confirmed", "a"), ("dropped", "b"), ("cancelled", "c")] {
            assert_eq!(publish(&*broker, topic, id, "{\"order\":\"seven\"}").await, Outcome::Accepted);
        }
        assert_eq!(consumer.drain(WHILE).await.unwrap().dead, 3);
        assert!(fixture.effects().await.is_empty());
        let mut dead = broker.dead("routed", 10).await.unwrap();
        dead.sort_by(|a, b| a.envelope.id.cmp(&b.envelope.id));
        assert!(dead[1].reason.contains("no handler takes the topic dropped"), "{}", dead[1].reason);
        for unread in [&dead[0], &dead[2]] {
            assert!(unread.reason.contains("cannot be read"), "{}", unread.reason);
        }
    });
}

#[test]
fn a_topic_has_one_handler() {
    block_on(async {
        let fixture = Fixture::new().await;
        let twice = router().on("raw", async |_, _: i64, _| Ok(()));
        let refused = Consumer::routed(Arc::clone(&fixture.broker), "routed", fixture.inbox.clone(), twice);
        assert!(matches!(refused, Err(Error::TwoHandlers(topic)) if topic == "raw"));
    });
}
