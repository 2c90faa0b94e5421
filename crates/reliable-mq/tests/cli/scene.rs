//! An outbox with a message in every state, and the relay that made them so.

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::sqlx::{self, Sqlite};
use onceward_backend::{RetryPolicy, sqlite};
use onceward_reliable_mq::{
    Counts, Draft, Envelope, Message, MessageError, MessageId, Outbox, Outcome, Relay, RelayOptions,
};
use tempfile::TempDir;

use crate::double::{Double, rejected, text};
use crate::tool::{Ran, run, url};

pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// The messages are named by what they are: `sent`; `failed`, which was refused once and blocks its key `k` for more than an
/// hour; `behind` it; `dead` and `binary` of a tenant, which were refused for good; `delayed`, `held`, and `pending`, the youngest.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) outbox: Outbox<Sqlite>,
    pub(crate) broker: Arc<Double>,
    pub(crate) relay: Relay,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::<Sqlite>::new(sqlite::open(folder.path().join("service.db")).await.unwrap());
        outbox.migrate().await.unwrap();
        // What fails does so at its first try alone.
        let broker = Double::new(|message, tries| match (message.topic(), tries) {
            ("refused", 1) => rejected(),
            ("gone", 1) => Outcome::Rejected { reason: format!("no customer for {}", message.id), permanent: true },
            _ => Outcome::Accepted,
        });
        let retry = RetryPolicy::exponential().with_base(LONG).with_max(LONG);
        let options = RelayOptions::default().with_owner("relay-1").with_retry(retry).with_lease(LONG);
        let relay = Relay::new(outbox.store(), broker.clone(), options).unwrap();
        enqueue(&outbox, message("sent", "fine").text("sent")).await;
        enqueue(&outbox, message("failed", "refused").key("k").header("lang", "de").text("first")).await;
        enqueue(&outbox, message("behind", "fine").key("k").text("second")).await;
        enqueue(&outbox, message("dead", "gone").key("g").text("{\"order\":7}")).await;
        enqueue(&outbox, message("binary", "gone").tenant("acme").payload(vec![0xff, 0x00, 0x1b])).await;
        enqueue(&outbox, message("delayed", "later").delay(LONG).text("later")).await;
        relay.step().await.unwrap();
        sqlx::query(
            "insert into mq_held (xid, hold_id, shard, message_id, topic, msg_key, headers, payload, enqueued_at, due_at) \
             select 'x.1', 'h', 0, 'held', 'order', null, '{}', x'61', enqueued_at, 0 from mq_delayed \
             where message_id = 'delayed'",
        )
        .execute(outbox.pool())
        .await
        .unwrap();
        enqueue(&outbox, message("pending", "fine").text("new")).await;
        // Told apart by their ages, whatever the resolution of the clock.
        for (age, id) in (1..).zip(["pending", "held", "delayed", "binary", "dead", "behind", "failed"]) {
            for table in ["mq_hot", "mq_held", "mq_delayed", "mq_dead"] {
                let text = format!("update {table} set enqueued_at = enqueued_at - ? where message_id = ?");
                let update = sqlx::query(sqlx::AssertSqlSafe(text)).bind(age * 1_000_000_i64).bind(id);
                update.execute(outbox.pool()).await.unwrap();
            }
        }
        // The pause before a retry is a random one.
        let late = "update mq_delayed set due_at = due_at + 3600000000 where message_id = 'failed'";
        sqlx::query(late).execute(outbox.pool()).await.unwrap();
        Self { folder, outbox, broker, relay }
    }

    /// The URL of the outbox.
    pub(crate) fn url(&self) -> String {
        url(&self.folder.path().join("service.db"))
    }

    /// Runs the program on the outbox.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        run(&[&["--store", &self.url()], args].concat())
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.outbox.store().counts().await.unwrap()
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(self.outbox.pool()).await.unwrap();
    }

    /// What the broker has of this topic, repeats included.
    pub(crate) fn accepted(&self, topic: &str) -> Vec<String> {
        self.broker.accepted().iter().filter(|message| message.topic() == topic).map(text).collect()
    }

    /// What replayed messages said of their replay when the broker had them.
    pub(crate) fn windows(&self) -> Vec<String> {
        let of = |message: &Envelope| message.header("onceward-replay-window").map(str::to_owned);
        self.broker.accepted().iter().filter_map(of).collect()
    }

    /// So many dead letters more, on a topic of their own.
    pub(crate) async fn bury(&self, number: usize) {
        let letters: Vec<_> = (0..number).map(|n| Message::to("mass").text(n.to_string()).unwrap()).collect();
        self.outbox.store().enqueue(&letters).await.unwrap();
        self.execute(
            "insert into mq_dead (message_id, shard, hot_id, topic, msg_key, headers, payload, enqueued_at, attempts, \
             last_error, dead_at) select message_id, shard, id, topic, msg_key, headers, payload, enqueued_at, 12, 'full', \
             enqueued_at from mq_hot where topic = 'mass'",
        )
        .await;
        self.execute("delete from mq_hot where topic = 'mass'").await;
    }
}

async fn enqueue(outbox: &Outbox<Sqlite>, message: Result<Message, MessageError>) {
    outbox.store().enqueue(&[message.unwrap()]).await.unwrap();
}

/// A message with this id.
fn message(id: &str, topic: &str) -> Draft {
    Message::to(topic).id(MessageId::parse(id).unwrap())
}
