//! A consumer whose host is gone, as PostgreSQL sees it: its transaction stays open.

use std::{sync::Arc, time::Duration};

use onceward_backend::{internal::begin, sqlx::Postgres};
use onceward_reliable_mq::{
    Broker, Consumer, ConsumerOptions, Inbox, MemoryBroker, Message, MessageId, Outcome, Subscription,
};

const LONG: Duration = Duration::from_secs(30);

pub async fn a_transaction_that_stays_open_keeps_no_other_consumer_waiting(url: &str) {
    let pool = onceward_backend::sqlx::PgPool::connect(url).await.unwrap();
    let inbox = Inbox::<Postgres>::new(pool.clone());
    inbox.migrate().await.unwrap();
    let broker = Arc::new(MemoryBroker::new());
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    let id = MessageId::parse("held").unwrap();
    let mut gone = begin(&pool).await.unwrap();
    assert!(inbox.first_tx(&mut gone, "queue", &id).await.unwrap());
    for id in [id, MessageId::parse("free").unwrap()] {
        let message = Message::to("topic").text("").unwrap();
        let envelope = onceward_reliable_mq::Envelope::new(id, message, 1);
        assert_eq!(broker.publish(&[envelope]).await, [Outcome::Accepted]);
    }
    let options = ConsumerOptions::default().with_concurrency(1).with_timeout(Duration::from_millis(300));
    let consumer = Consumer::new(broker, Subscription::new("queue").topic("topic"), inbox, async |_, _| Ok(()));
    let consumer = consumer.with_options(options);
    let held = tokio::time::timeout(LONG, consumer.step()).await.expect("it waits for a host that is gone").unwrap();
    let free = consumer.step().await.unwrap();
    assert_eq!((held.retried, free.first), (1, 1));
    // That host is alive after all, and gives up.
    gone.rollback().await.unwrap();
    assert_eq!(consumer.drain(LONG).await.unwrap().first, 1);
}
