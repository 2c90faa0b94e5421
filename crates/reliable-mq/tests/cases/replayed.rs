//! A dead letter that is replayed out of its outbox, by way of a broker to a consumer that remembers for too short a time.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    RetryPolicy, sqlite,
    sqlx::{self, Sqlite, SqlitePool},
};
use onceward_reliable_mq::{
    Broker, Consumed, Consumer, ConsumerOptions, Envelope, HandlerError, Inbox, MemoryBroker, MemoryStore, Message,
    MessageId, Relay, RelayOptions, Store, Subscription, Tx,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SOON: Duration = Duration::from_secs(30);

async fn note(mut tx: Tx<Sqlite>, message: Envelope) -> Result<(), HandlerError> {
    sqlx::query("insert into effect (what) values (?)").bind(message.id.as_str()).execute(&mut *tx).await?;
    Ok(())
}

struct Mailer {
    broker: Arc<dyn Broker>,
    pool: SqlitePool,
}

impl Mailer {
    async fn new(broker: Arc<dyn Broker>) -> Self {
        let pool = sqlite::memory().await.unwrap();
        sqlx::query("create table effect (what text not null)").execute(&pool).await.unwrap();
        Inbox::<Sqlite>::new(pool.clone()).migrate().await.unwrap();
        broker.subscribe(&subscription()).await.unwrap();
        Self { broker, pool }
    }

    async fn consume(&self, retention: Duration, may_duplicate: bool) -> Consumed {
        let inbox = Inbox::<Sqlite>::new(self.pool.clone()).with_retention(retention);
        let consumer = Consumer::new(Arc::clone(&self.broker), subscription(), inbox, note);
        let options = ConsumerOptions::default().with_may_duplicate(may_duplicate).with_batch(2);
        consumer.with_options(options).drain(SOON).await.unwrap()
    }

    async fn effects(&self) -> Vec<String> {
        sqlx::query_scalar("select what from effect order by what").fetch_all(&self.pool).await.unwrap()
    }
}

fn subscription() -> Subscription {
    Subscription::new("mailer").topic("topic")
}

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

/// A relay gives these up, an operator replays them so, and a relay sends them.
async fn replay(broker: &Arc<dyn Broker>, letters: &[(&str, Option<Duration>)]) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let send = async |broker: Arc<dyn Broker>| {
        let once = RetryPolicy::exponential().with_attempts(1);
        let options = RelayOptions::default().with_allow_volatile(true).with_retry(once);
        Relay::new(Arc::clone(&store), broker, options).unwrap().drain(SOON).await.unwrap()
    };
    for (letter, _) in letters {
        store.enqueue(&[Message::to("topic").id(id(letter)).text("").unwrap()]).await.unwrap();
    }
    let without_queues = Arc::new(MemoryBroker::new());
    assert_eq!(send(without_queues).await.dead, letters.len() as u64);
    for (letter, window) in letters {
        assert!(store.replay(&id(letter), *window).await.unwrap());
    }
    assert_eq!(send(Arc::clone(broker)).await.dead, 0);
}

pub async fn a_replay_that_the_inbox_may_have_forgotten_is_parked(broker: Arc<dyn Broker>) {
    let mailer = Mailer::new(Arc::clone(&broker)).await;
    replay(&broker, &[("a-day", Some(DAY)), ("a-week", Some(DAY * 7)), ("told", None)]).await;
    let consumed = mailer.consume(DAY, false).await;
    assert_eq!((consumed.first, consumed.dead, consumed.total()), (2, 1, 3), "parked at its first failure");
    assert_eq!(mailer.effects().await, ["a-day", "told"]);
    let dead = broker.dead("mailer", 10).await.unwrap();
    let [parked] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!(parked.envelope.id, id("a-week"));
    for said in ["remember 604800s", "remembers 86400s", "`may_duplicate`"] {
        assert!(parked.reason.contains(said), "{}", parked.reason);
    }
    // Put back it is parked again, until somebody says that it may be handled twice.
    for (may, first) in [(false, 0), (true, 1)] {
        assert!(broker.replay("mailer", &id("a-week")).await.unwrap());
        let consumed = mailer.consume(DAY, may).await;
        assert_eq!((consumed.first, consumed.dead), (first, 1 - first));
    }
    assert_eq!(mailer.effects().await, ["a-day", "a-week", "told"]);
}
