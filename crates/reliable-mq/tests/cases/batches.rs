//! Consumers that handle several messages in one transaction, all of the same messages.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    Db, RetryPolicy,
    internal::{Sql, Statement},
};
use onceward_reliable_mq::{
    Broker, Consumed, Consumer, ConsumerOptions, Envelope, Inbox, MemoryBroker, Message, MessageId, Outbox, Outcome,
    Subscription, Tx,
};
use tokio::task::JoinSet;

const MESSAGES: usize = 60;
const CONSUMERS: usize = 4;
const BATCH: usize = 8;

fn statement<D: Db>(text: &'static str) -> Statement<D> {
    Sql::<D>::new().sql(text)
}

/// A broker that has all of them, beginning with another one each time, every other time from behind.
async fn broker(turn: usize) -> Arc<MemoryBroker> {
    let broker = Arc::new(MemoryBroker::new());
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    let mut order: Vec<usize> = (0..MESSAGES).collect();
    order.rotate_left(turn * BATCH / 2);
    if turn % 2 == 1 {
        order.reverse();
    }
    for n in order {
        let id = MessageId::parse(format!("id-{n:02}")).unwrap();
        let envelope = Envelope::new(id, Message::to("topic").text("").unwrap(), 1);
        assert_eq!(broker.publish(&[envelope]).await, [Outcome::Accepted]);
    }
    broker
}

pub async fn batches_that_overlap_have_one_effect_per_message<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let inbox = Inbox::<D>::new(outbox.pool().clone());
    let mut connection = inbox.pool().acquire().await.unwrap();
    let table = "create table effect (what varchar(64) not null)";
    statement::<D>(table).execute(&mut connection).await.unwrap();
    let note = async |mut tx: Tx<D>, message: Envelope| {
        statement("insert into effect (what) values (?)").bind(message.id.as_str()).execute(&mut tx).await?;
        Ok(())
    };
    let soon = RetryPolicy::exponential().with_base(Duration::from_millis(1)).with_attempts(100);
    let options = ConsumerOptions::default().with_batch(BATCH).with_retry(soon);
    let mut running = JoinSet::new();
    for turn in 0..CONSUMERS {
        let queue = Subscription::new("queue").topic("topic");
        let consumer = Consumer::new(broker(turn).await, queue, inbox.clone(), note).with_options(options.clone());
        running.spawn(async move { consumer.drain(Duration::from_secs(60)).await.unwrap() });
    }
    let consumed = running.join_all().await;
    let all = |count: fn(&Consumed) -> usize| consumed.iter().map(count).sum::<usize>();
    assert_eq!(all(|consumed| consumed.first), MESSAGES, "{consumed:?}");
    assert_eq!(all(|consumed| consumed.duplicates), MESSAGES * (CONSUMERS - 1), "{consumed:?}");
    let select = statement::<D>("select what from effect order by what");
    let effects: Vec<(String,)> = select.fetch_all(&mut connection).await.unwrap();
    let expected: Vec<_> = (0..MESSAGES).map(|n| (format!("id-{n:02}"),)).collect();
    assert_eq!(effects, expected);
}
