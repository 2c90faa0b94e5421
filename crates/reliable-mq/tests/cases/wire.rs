//! Outbox, relay, a broker on a server, consumer and inbox together, while the wire is cut. The program says in `Space` which
//! broker that is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_backend::{
    RetryPolicy,
    conformance::block_on,
    sqlite,
    sqlx::{self, Sqlite, SqlitePool},
};
use onceward_reliable_mq::{
    Broker, Consumer, ConsumerOptions, Envelope, HandlerError, Inbox, Message, Outbox, Relay, RelayOptions, Status,
    Subscription, Tx,
};
use tempfile::TempDir;
use testkit::{Mode, Proxy};

use crate::Space;

pub const WHILE: Duration = Duration::from_secs(30);

/// A service with its outbox and a consumer with its inbox; the broker is behind a proxy.
pub struct Fixture {
    pool: SqlitePool,
    outbox: Outbox<Sqlite>,
    inbox: Inbox<Sqlite>,
    pub proxy: Arc<Proxy>,
    pub broker: Arc<dyn Broker>,
    space: Space,
    _folder: TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = sqlite::open(folder.path().join("service.db")).await.unwrap();
        sqlx::query("create table effect (what text not null)").execute(&pool).await.unwrap();
        let (outbox, inbox) = (Outbox::<Sqlite>::new(pool.clone()), Inbox::<Sqlite>::new(pool.clone()));
        outbox.migrate().await.unwrap();
        inbox.migrate().await.unwrap();
        let space = Space::fresh().await;
        let proxy = Arc::new(Proxy::in_front_of(space.url()).await);
        let broker: Arc<dyn Broker> = space.broker_at(proxy.url());
        broker.subscribe(&subscription()).await.unwrap();
        Self { pool, outbox, inbox, proxy, broker, space, _folder: folder }
    }

    pub fn relay(&self) -> Relay {
        let at_once = RetryPolicy::exponential().with_base(Duration::from_millis(1));
        let options = RelayOptions::default().with_retry(at_once.with_attempts(2)).with_outage(at_once);
        Relay::new(self.outbox.store(), Arc::clone(&self.broker), options).unwrap()
    }

    pub fn consumer<F, Fut>(&self, broker: Arc<dyn Broker>, handler: F) -> Consumer<Sqlite>
    where
        F: Fn(Tx<Sqlite>, Envelope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let retry = RetryPolicy::exponential().with_base(Duration::ZERO).with_attempts(2);
        let options = ConsumerOptions::default().with_retry(retry).with_poll(Duration::from_millis(20));
        Consumer::new(broker, subscription(), self.inbox.clone(), handler).with_options(options)
    }

    pub async fn enqueue(&self, topic: &str, texts: impl IntoIterator<Item = String>) {
        let mut tx = self.pool.begin().await.unwrap();
        for text in texts {
            self.outbox.enqueue(&mut tx, &Message::to(topic).text(text).unwrap()).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    pub async fn statuses(&self) -> Vec<(Status, u32)> {
        self.outbox.store().log(1000).await.unwrap().iter().map(|row| (row.status, row.attempts)).collect()
    }

    pub async fn effects(&self) -> Vec<String> {
        sqlx::query_scalar("select what from effect order by what").fetch_all(&self.pool).await.unwrap()
    }
}

fn subscription() -> Subscription {
    Subscription::new("notify").topic("topic")
}

pub fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("text-{n:03}")).collect()
}

pub async fn note(mut tx: Tx<Sqlite>, message: Envelope) -> Result<(), HandlerError> {
    let text = String::from_utf8(message.payload().to_vec())?;
    sqlx::query("insert into effect (what) values (?)").bind(text).execute(&mut *tx).await?;
    Ok(())
}

/// Until the consumer, which may lose its connection, has had everything.
pub async fn consume_all(fixture: &Fixture, consumer: &Consumer<Sqlite>, expected: usize) {
    testkit::eventually(WHILE, async || {
        consumer.step().await.map_err(|error| error.to_string())?;
        let had = fixture.effects().await.len();
        if had < expected { Err(format!("{had} of {expected}")) } else { Ok(()) }
    })
    .await;
}

#[test]
fn an_unreachable_broker_loses_nothing_and_spends_nothing() {
    block_on(async {
        let fixture = Fixture::new().await;
        let relay = fixture.relay();
        fixture.proxy.settle(Mode::Refuse).await;
        fixture.enqueue("topic", texts(10)).await;
        for _ in 0..20 {
            relay.step().await.unwrap();
        }
        assert_eq!(fixture.statuses().await, [(Status::Pending, 0); 10]);
        fixture.proxy.set(Mode::Pass);
        relay.drain(WHILE).await.unwrap();
        assert_eq!(fixture.statuses().await, [(Status::Sent, 1); 10]);
        consume_all(&fixture, &fixture.consumer(Arc::clone(&fixture.broker), note), 10).await;
        assert_eq!(fixture.effects().await, texts(10));
    });
}

#[test]
fn a_topic_without_a_queue_spends_attempts_and_is_parked() {
    block_on(async {
        let fixture = Fixture::new().await;
        let relay = fixture.relay();
        assert!(relay.check_topics(&["topic", "nobody"]).await.is_err());
        assert_eq!(fixture.broker.depth("notify").await.unwrap().open(), 0, "the check leaves nothing");
        fixture.enqueue("nobody", texts(1)).await;
        fixture.enqueue("topic", texts(1)).await;
        relay.drain(WHILE).await.unwrap();
        let counts = fixture.outbox.store().counts().await.unwrap();
        assert_eq!((counts.hot, counts.delayed, counts.dead), (0, 0, 1));
        assert_eq!(fixture.broker.depth("notify").await.unwrap().ready, 1);
    });
}

#[test]
fn two_consumers_share_a_queue() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.enqueue("topic", texts(100)).await;
        fixture.relay().drain(WHILE).await.unwrap();
        let other = fixture.space.broker_at(fixture.space.url());
        let (one, two) = (fixture.consumer(Arc::clone(&fixture.broker), note), fixture.consumer(other, note));
        let (one, two) = tokio::join!(one.drain(WHILE), two.drain(WHILE));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.first + two.first, one.duplicates + two.duplicates), (100, 0));
        assert!(one.first > 0 && two.first > 0, "{one:?} {two:?}");
        assert_eq!(fixture.effects().await, texts(100));
    });
}

#[test]
fn poison_is_parked_and_can_be_replayed() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.enqueue("topic", ["poison".to_owned(), "good".to_owned()]).await;
        fixture.relay().drain(WHILE).await.unwrap();
        let mended = Arc::new(AtomicUsize::new(0));
        let consumer =
            fixture.consumer(Arc::clone(&fixture.broker), {
                let mended = Arc::clone(&mended);
                move |tx, message| {
                    let broken = mended.load(Ordering::SeqCst) == 0 && message.payload()[..] == *b"poison";
                    async move {
                        if broken { Err(HandlerError::retry("no such customer")) } else { note(tx, message).await }
                    }
                }
            });
        let consumed = consumer.drain(WHILE).await.unwrap();
        assert_eq!((consumed.first, consumed.retried, consumed.dead), (1, 1, 1));
        let dead = fixture.broker.dead("notify", 10).await.unwrap();
        assert_eq!((dead.len(), dead[0].failures, dead[0].reason.as_str()), (1, 2, "no such customer"));
        mended.store(1, Ordering::SeqCst);
        assert!(fixture.broker.replay("notify", &dead[0].envelope.id).await.unwrap());
        assert_eq!(consumer.drain(WHILE).await.unwrap().first, 1);
        assert_eq!(fixture.effects().await, ["good", "poison"]);
    });
}
