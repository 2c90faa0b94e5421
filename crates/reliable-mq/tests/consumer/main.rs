//! Consumers and the inbox, on SQLite.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod again;
mod batch;
mod embedded;
mod hopeless;
mod replayed;
#[path = "../cases/replayed.rs"]
mod replayed_cases;
mod router;

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
    Broker, Consumer, ConsumerOptions, Envelope, HandlerError, Inbox, MemoryBroker, Message, MessageId, Outbox,
    Outcome, Subscription, Tx,
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const WHILE: Duration = Duration::from_secs(20);

struct Fixture {
    pool: SqlitePool,
    inbox: Inbox<Sqlite>,
    broker: Arc<dyn Broker>,
    folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = sqlite::open(folder.path().join("service.db")).await.unwrap();
        sqlx::query("create table effect (what text not null)").execute(&pool).await.unwrap();
        let inbox = Inbox::<Sqlite>::new(pool.clone());
        inbox.migrate().await.unwrap();
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
        broker.subscribe(&subscription()).await.unwrap();
        Self { pool, inbox, broker, folder }
    }

    fn consumer<F, Fut>(&self, handler: F) -> Consumer<Sqlite>
    where
        F: Fn(Tx<Sqlite>, Envelope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        Consumer::new(Arc::clone(&self.broker), subscription(), self.inbox.clone(), handler).with_options(options(3))
    }

    async fn publish(&self, id: &str, text: &str) {
        publish(&*self.broker, id, text).await;
    }

    async fn effects(&self) -> Vec<String> {
        sqlx::query_scalar("select what from effect order by what").fetch_all(&self.pool).await.unwrap()
    }
}

fn subscription() -> Subscription {
    Subscription::new("notify").topic("topic")
}

fn at_once(attempts: u32) -> RetryPolicy {
    RetryPolicy::exponential().with_base(Duration::ZERO).with_attempts(attempts)
}

fn options(attempts: u32) -> ConsumerOptions {
    ConsumerOptions::default()
        .with_retry(at_once(attempts))
        .with_at_once(at_once(1))
        .with_poll(Duration::from_millis(5))
}

async fn publish(broker: &dyn Broker, id: &str, text: &str) {
    let message = Message::to("topic").key("k").text(text).unwrap();
    let envelope = Envelope::new(MessageId::parse(id).unwrap(), message, 1);
    assert_eq!(broker.publish(&[envelope]).await, [Outcome::Accepted]);
}

/// The handler of most tests: writes the text of the message down.
async fn note(mut tx: Tx<Sqlite>, message: Envelope) -> Result<(), HandlerError> {
    let text = String::from_utf8(message.payload().to_vec())?;
    sqlx::query("insert into effect (what) values (?)").bind(text).execute(&mut *tx).await?;
    Ok(())
}

#[test]
fn repeats_have_one_effect_however_many_consumers_race() {
    for batch in [1, 4] {
        block_on(repeats_have_one_effect(options(3).with_concurrency(8).with_batch(batch)));
    }
}

async fn repeats_have_one_effect(options: ConsumerOptions) {
    let fixture = Fixture::new().await;
    let consumers: Vec<_> = (0..4).map(|_| fixture.consumer(note).with_options(options.clone())).collect();
    for n in 0..20 {
        for _ in 0..4 {
            fixture.publish(&format!("id-{n}"), &format!("{n:02}")).await;
        }
    }
    let mut tasks = JoinSet::new();
    for consumer in consumers {
        tasks.spawn(async move { consumer.drain(WHILE).await.unwrap() });
    }
    let consumed = tasks.join_all().await;
    assert_eq!(fixture.effects().await, (0..20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    assert_eq!(consumed.iter().map(|each| each.first).sum::<usize>(), 20);
    assert_eq!(consumed.iter().map(|each| each.duplicates).sum::<usize>(), 60);
}

#[test]
fn another_consumer_has_an_inbox_of_its_own() {
    block_on(async {
        let fixture = Fixture::new().await;
        let id = MessageId::parse("id").unwrap();
        let mut tx = fixture.pool.begin().await.unwrap();
        assert!(fixture.inbox.first_tx(&mut tx, "notify", &id).await.unwrap());
        assert!(!fixture.inbox.first_tx(&mut tx, "notify", &id).await.unwrap());
        assert!(fixture.inbox.first_tx(&mut tx, "billing", &id).await.unwrap());
        assert!(fixture.inbox.first_tx(&mut tx, "a b", &id).await.is_err());
    });
}

#[test]
fn a_handler_that_fails_leaves_nothing_and_is_called_again() {
    block_on(async {
        let fixture = Fixture::new().await;
        let calls = Arc::new(AtomicUsize::new(0));
        let consumer = fixture.consumer({
            let calls = Arc::clone(&calls);
            move |mut tx, _| {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    sqlx::query("insert into effect (what) values (?)")
                        .bind(call.to_string())
                        .execute(&mut *tx)
                        .await?;
                    if call < 2 { Err(HandlerError::retry("on purpose")) } else { Ok(()) }
                }
            }
        });
        fixture.publish("id", "").await;
        let consumed = consumer.drain(WHILE).await.unwrap();
        assert_eq!((consumed.retried, consumed.first, consumed.dead), (2, 1, 0));
        assert_eq!(fixture.effects().await, ["2"], "only the effects of the call that succeeded");
    });
}

#[test]
fn poison_is_parked_does_not_block_others_and_can_be_replayed() {
    for batch in [1, 5] {
        block_on(poison_is_parked(options(2).with_timeout(Duration::from_millis(50)).with_batch(batch)));
    }
}

async fn poison_is_parked(options: ConsumerOptions) {
    let fixture = Fixture::new().await;
    let mended = Arc::new(AtomicUsize::new(0));
    let consumer = fixture.consumer({
        let mended = Arc::clone(&mended);
        move |tx, message| {
            let broken = mended.load(Ordering::SeqCst) == 0;
            async move {
                match &message.payload()[..] {
                    b"fails" if broken => return Err(HandlerError::retry("no such customer")),
                    b"panics" => panic!("on purpose"),
                    b"hangs" => std::future::pending().await,
                    b"unreadable" => message.json::<u64>().map(|_| ())?,
                    _ => {}
                }
                note(tx, message).await
            }
        }
    });
    let consumer = consumer.with_options(options);
    for text in ["fails", "panics", "hangs", "unreadable", "good"] {
        fixture.publish(text, text).await;
    }
    let consumed = consumer.drain(WHILE).await.unwrap();
    assert_eq!((consumed.first, consumed.dead), (1, 4));
    assert_eq!(fixture.effects().await, ["good"]);
    let dead = fixture.broker.dead("notify", 10).await.unwrap();
    let find = |id: &str| {
        dead.iter()
            .find(|dead| dead.envelope.id.as_str() == id)
            .map(|dead| (dead.failures, dead.reason.as_str()))
            .unwrap()
    };
    assert_eq!(find("fails"), (2, "no such customer"));
    assert_eq!(find("panics"), (2, "the handler panicked"));
    assert_eq!(find("hangs"), (2, "the handler took too long"));
    assert_eq!(find("unreadable").0, 1, "no repeat makes it readable");
    mended.store(1, Ordering::SeqCst);
    assert!(fixture.broker.replay("notify", &MessageId::parse("fails").unwrap()).await.unwrap());
    consumer.drain(WHILE).await.unwrap();
    assert_eq!(fixture.effects().await, ["fails", "good"]);
}

#[test]
fn what_a_handler_says_is_said_if_its_transaction_commits() {
    block_on(async {
        let fixture = Fixture::new().await;
        let outbox = Outbox::<Sqlite>::new(fixture.pool.clone());
        let consumer = fixture.consumer({
            let outbox = outbox.clone();
            move |mut tx, message| {
                let outbox = outbox.clone();
                async move {
                    outbox.enqueue(&mut tx, &Message::to("next").payload(message.payload().clone())?).await?;
                    if message.deref_text() == "bad" { Err(HandlerError::reject("no")) } else { Ok(()) }
                }
            }
        });
        for text in ["bad", "good"] {
            fixture.publish(text, text).await;
            fixture.publish(text, text).await;
        }
        consumer.drain(WHILE).await.unwrap();
        assert_eq!(outbox.store().counts().await.unwrap().hot, 1);
    });
}

trait Text {
    fn deref_text(&self) -> String;
}

impl Text for Envelope {
    fn deref_text(&self) -> String {
        String::from_utf8(self.payload().to_vec()).unwrap()
    }
}

#[test]
fn a_database_that_fails_spends_no_attempts_of_the_message() {
    block_on(async {
        let fixture = Fixture::new().await;
        let consumer = fixture.consumer(note);
        fixture.publish("id", "a").await;
        sqlx::query("alter table mq_inbox rename to away").execute(&fixture.pool).await.unwrap();
        for _ in 0..10 {
            assert!(consumer.step().await.is_err());
        }
        sqlx::query("alter table away rename to mq_inbox").execute(&fixture.pool).await.unwrap();
        let consumed = consumer.drain(WHILE).await.unwrap();
        assert_eq!((consumed.first, consumed.retried), (1, 0));
        assert_eq!(fixture.effects().await, ["a"]);
    });
}

#[test]
fn a_handler_that_keeps_its_transaction_commits_nothing_and_spends_attempts() {
    block_on(async {
        let fixture = Fixture::new().await;
        let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
        let consumer = fixture.consumer({
            let kept = Arc::clone(&kept);
            move |tx, _| {
                kept.lock().unwrap().push(tx);
                async { Ok(()) }
            }
        });
        fixture.publish("id", "a").await;
        for (retried, dead) in [(1, 0), (1, 0), (0, 1)] {
            let consumed = consumer.step().await.unwrap();
            assert_eq!((consumed.first, consumed.retried, consumed.dead), (0, retried, dead));
            kept.lock().unwrap().clear();
        }
        let dead = fixture.broker.dead("notify", 10).await.unwrap();
        assert!(dead[0].reason.contains("kept"), "{dead:?}");
        let handled: i64 = sqlx::query_scalar("select count(*) from mq_inbox").fetch_one(&fixture.pool).await.unwrap();
        assert_eq!(handled, 0);
    });
}

#[test]
fn the_inbox_forgets_after_its_retention_and_not_before() {
    block_on(async {
        let fixture = Fixture::new().await;
        fixture.publish("id", "a").await;
        fixture.consumer(note).drain(WHILE).await.unwrap();
        assert_eq!(fixture.inbox.purge(10).await.unwrap(), 0);
        let brief = fixture.inbox.clone().with_retention(Duration::ZERO);
        testkit::eventually(WHILE, async || if brief.purge(10).await.unwrap() == 1 { Ok(()) } else { Err("not yet") })
            .await;
    });
}

#[test]
fn a_running_consumer_is_woken_and_ends_after_the_handler_in_flight() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (entered, leave) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let consumer = fixture.consumer({
            let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
            move |tx, message| {
                let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
                async move {
                    entered.notify_one();
                    leave.notified().await;
                    note(tx, message).await
                }
            }
        });
        // So long a poll that only the wake-up explains an arrival.
        let consumer = consumer.with_options(options(3).with_poll(Duration::from_secs(3600)));
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { consumer.run(stop).await }
        });
        fixture.publish("id", "a").await;
        entered.notified().await;
        stop.cancel();
        tokio::task::yield_now().await;
        assert!(!running.is_finished());
        leave.notify_one();
        running.await.unwrap();
        assert_eq!(fixture.effects().await, ["a"]);
        assert_eq!(fixture.broker.depth("notify").await.unwrap().open(), 0, "acknowledged before it ended");
    });
}
