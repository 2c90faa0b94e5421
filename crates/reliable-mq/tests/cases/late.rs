//! Messages that are seen long after their place in the lane was taken.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    Db,
    internal::{Sql, begin},
    sqlx::Transaction,
};
use onceward_reliable_mq::{Broker, MemoryBroker, Message, Outbox, Relay, RelayOptions, Subscription};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// More than a lane's low water takes to rise on a busy machine, and two sweeps.
const WHILE: Duration = Duration::from_millis(1_200);
const SOON: Duration = Duration::from_secs(30);

/// A relay at work; others' messages pass through it all the time, in all lanes.
struct Traffic<D: Db> {
    outbox: Outbox<D>,
    broker: Arc<MemoryBroker>,
    /// They end with it.
    _tasks: JoinSet<()>,
}

impl<D: Db> Traffic<D> {
    async fn start(outbox: &Outbox<D>) -> Self {
        let broker = Arc::new(MemoryBroker::new());
        for queue in ["noise", "signal"] {
            broker.subscribe(&Subscription::new(queue).topic(queue)).await.unwrap();
        }
        let options = RelayOptions::default().with_allow_volatile(true);
        let relay = Relay::new(outbox.store(), Arc::clone(&broker) as Arc<dyn Broker>, options).unwrap();
        let (mut tasks, store) = (JoinSet::new(), outbox.store());
        tasks.spawn(async move { relay.run(CancellationToken::new()).await });
        tasks.spawn(async move {
            loop {
                let noise = (0..50).map(|n| Message::to("noise").key(n.to_string()).text("").unwrap());
                store.enqueue(&noise.collect::<Vec<_>>()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { outbox: outbox.clone(), broker, _tasks: tasks }
    }

    async fn begin(&self) -> Transaction<'static, D> {
        begin(self.outbox.pool()).await.unwrap()
    }

    /// What came, in order, once `wanted` have come.
    async fn came(&self, wanted: usize) -> Vec<String> {
        let mut texts = Vec::new();
        let until = Instant::now() + SOON;
        while texts.len() < wanted {
            assert!(Instant::now() < until, "only {texts:?} came");
            for delivery in self.broker.receive("signal", 100).await.unwrap() {
                texts.push(String::from_utf8(delivery.envelope().payload().to_vec()).unwrap());
                delivery.ack().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        texts
    }
}

fn signal(text: &str) -> Message {
    Message::to("signal").key("k").text(text).unwrap()
}

/// Each waits for the one before it, as changes of one row do.
pub async fn a_transaction_that_commits_late_keeps_its_place_in_the_order_of_its_key<D: Db, G>(
    make: impl AsyncFn() -> (Outbox<D>, G),
) {
    let (outbox, _guard) = make().await;
    let traffic = Traffic::start(&outbox).await;
    let mut late = traffic.begin().await;
    outbox.enqueue(&mut late, &signal("1")).await.unwrap();
    tokio::time::sleep(WHILE).await;
    late.commit().await.unwrap();
    // Not woken: the relay is to find both at once, with whatever else it reads for.
    let mut next = traffic.begin().await;
    outbox.enqueue(&mut next, &signal("2")).await.unwrap();
    next.commit().await.unwrap();
    assert_eq!(traffic.came(2).await, ["1", "2"]);
}

pub async fn a_transaction_that_rolls_back_late_holds_up_nobody<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let traffic = Traffic::start(&outbox).await;
    let mut late = traffic.begin().await;
    outbox.enqueue(&mut late, &signal("never")).await.unwrap();
    let mut other = traffic.begin().await;
    outbox.enqueue(&mut other, &signal("meanwhile")).await.unwrap();
    other.commit().await.unwrap();
    assert_eq!(traffic.came(1).await, ["meanwhile"]);
    late.rollback().await.unwrap();
    let mut other = traffic.begin().await;
    outbox.enqueue(&mut other, &signal("afterwards")).await.unwrap();
    other.commit().await.unwrap();
    assert_eq!(traffic.came(1).await, ["afterwards"]);
}

pub async fn a_topic_that_was_paused_for_long_keeps_its_order<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let (traffic, store) = (Traffic::start(&outbox).await, outbox.store());
    assert!(store.pause("signal").await.unwrap());
    store.enqueue(&[signal("1"), signal("2")]).await.unwrap();
    tokio::time::sleep(WHILE).await;
    assert!(traffic.broker.receive("signal", 1).await.unwrap().is_empty());
    assert!(store.resume("signal").await.unwrap());
    store.enqueue(&[signal("3")]).await.unwrap();
    assert_eq!(traffic.came(3).await, ["1", "2", "3"]);
}

/// The one case that a low water cannot know of: the place was taken, and nothing was written yet. PostgreSQL's, whose sequences
/// can be asked alone.
#[allow(dead_code, reason = "not for MariaDB")]
pub async fn a_place_that_was_taken_before_its_transaction_wrote_is_found_by_a_sweep<D: Db, G>(
    make: impl AsyncFn() -> (Outbox<D>, G),
) {
    let (outbox, _guard) = make().await;
    let traffic = Traffic::start(&outbox).await;
    let sql = Sql::<D>::new();
    let mut late = traffic.begin().await;
    let take = sql.sql("select nextval(pg_get_serial_sequence('mq_hot', 'id'))");
    let (place,): (i64,) = take.fetch_one(&mut late).await.unwrap();
    tokio::time::sleep(WHILE).await;
    sql.sql(
        "insert into mq_hot (id, shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
         values (?, 0, 'late', 'signal', 'k', ?, ?, {now})",
    )
    .bind(place)
    .bind("{}")
    .bind(b"late".as_slice())
    .execute(&mut late)
    .await
    .unwrap();
    late.commit().await.unwrap();
    assert_eq!(traffic.came(1).await, ["late"]);
}
