//! Stores: where messages wait until the broker has them.

mod info;
mod log;
mod memory;
#[cfg(feature = "sql")]
mod sql;

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Notify;

pub use self::info::{LaneInfo, MessageFilter, MessageInfo, PausedTopic, RelayInfo, TopicInfo};
pub(crate) use self::log::Batches;
pub use self::log::{Attempt, BatchRow, DeadLetter, History, LogRow, Status};
pub use self::memory::MemoryStore;
#[cfg(feature = "sql")]
pub use self::sql::SqlStore;
#[cfg(feature = "sql")]
pub(crate) use self::sql::row;
#[cfg(feature = "sql")]
pub use self::sql::schema;
use crate::{
    Error,
    message::{Envelope, Message, MessageId},
};

/// What a store can do; the conformance suite is driven by it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreCapabilities {
    /// How many lanes the messages are spread over; a key stays in its lane.
    pub lanes: u32,
    /// Messages outlive the process.
    pub durable: bool,
}

impl StoreCapabilities {
    /// A store with this many lanes.
    #[must_use]
    pub fn new(lanes: u32, durable: bool) -> Self {
        Self { lanes, durable }
    }
}

/// The right to publish one lane. It divides the work; correctness does not rest on it: whoever publishes without it
/// makes a repeat, never a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which lane.
    pub lane: u32,
    /// Who has it.
    pub owner: String,
    /// Grows each time the lane is taken.
    pub epoch: i64,
}

/// A lane from a place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The right to publish it.
    pub lease: Lease,
    /// Only what stands behind this sequence.
    pub after: i64,
}

/// Open transactions that may have enqueued, by names of which none is given twice.
pub type Writers = BTreeSet<String>;

/// What a read brought.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// The messages.
    pub queued: Vec<Queued>,
    /// Lanes that are no longer this relay's; none of their messages is in `queued`.
    pub lost: Vec<u32>,
}

/// How much is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At most so many messages of each lane.
    pub messages: usize,
    /// No further message once their payloads have so many bytes together.
    pub bytes: usize,
}

impl Budget {
    /// Whether a message is within the bytes, after those that were asked about before.
    fn room(self) -> impl FnMut(&Envelope) -> bool {
        let mut bytes = 0;
        move |envelope| {
            let room = bytes < self.bytes;
            bytes += envelope.payload().len();
            room
        }
    }
}

/// Which table a waiting message is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Never tried yet.
    Hot,
    /// Waits for its time: delayed by its sender, or for a retry.
    Delayed,
}

/// A message that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The message.
    pub envelope: Envelope,
    /// Its lane.
    pub lane: u32,
    /// Where it waits.
    pub place: Place,
    /// Its place in the lane; 0 if it was delayed from the start.
    pub sequence: i64,
    /// How many attempts it has spent.
    pub attempts: u32,
    /// What of it cannot be read, if others inserted it and did so wrongly: no broker gets it, it is parked.
    pub flaw: Option<String>,
}

/// What is due now, and when the next will be.
#[derive(Debug, Clone, Default)]
pub struct Due {
    /// Due now, the longest waiting first.
    pub ready: Vec<Queued>,
    /// How long until the next one of those lanes that have nothing in `ready`.
    pub next: Option<Duration>,
}

impl Due {
    /// Something else is due in so long.
    pub(crate) fn waits(&mut self, pause: Duration) {
        self.next = Some(self.next.map_or(pause, |next| next.min(pause)));
    }
}

/// What is to become of a message after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The broker has it: forget it.
    Sent,
    /// Try again later.
    Retry {
        /// How much later.
        after: Duration,
        /// Why it failed.
        error: String,
        /// Whether it blocks those behind it that have its key, until it is over.
        blocks: bool,
    },
    /// Park it among the dead.
    Dead {
        /// Why.
        error: String,
    },
}

/// What a settle did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// How many messages were moved or forgotten.
    pub done: usize,
    /// How many were no longer there: another relay was faster.
    pub gone: usize,
    /// Lanes whose lease was lost: their failures were not written, and the messages stay where they are.
    pub fenced: Vec<u32>,
}

impl Settled {
    /// The leases under which failures are to be written.
    pub(crate) fn failing<'a>(leases: &'a [Lease], settled: &[(&Queued, Verdict)]) -> impl Iterator<Item = &'a Lease> {
        let failed = settled.iter().filter(|(_, verdict)| *verdict != Verdict::Sent);
        let lanes: BTreeSet<u32> = failed.map(|(queued, _)| queued.lane).collect();
        // In the order of lanes: who locks several does it as everybody does.
        lanes.into_iter().filter_map(|lane| leases.iter().find(|lease| lease.lane == lane))
    }
}

/// How many messages wait where. It counts rows: for operators and checks, not for every request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Never tried yet.
    pub hot: u64,
    /// Waiting for their time, retries included.
    pub delayed: u64,
    /// Those of `delayed` that have failed at least once.
    pub failed: u64,
    /// Held back until their global transaction is decided.
    pub held: u64,
    /// Given up.
    pub dead: u64,
    /// How long the oldest message of `hot` and `delayed` has waited.
    pub oldest: Option<Duration>,
}

impl Counts {
    /// Whether nothing waits to be sent. The dead do not count: they wait for a person.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hot + self.delayed + self.held == 0
    }
}

/// Where messages wait until the broker has them. One method is one atomic operation; the relay owns the policy.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// What this store can do.
    fn capabilities(&self) -> StoreCapabilities;

    /// Rings when something may have been enqueued from within this process. Without it relays poll.
    fn arrivals(&self) -> Arc<Notify>;

    /// Enqueues in a transaction of its own, all or none, and rings [`arrivals`](Self::arrivals). Services enqueue in
    /// *their* transaction instead (`Outbox::enqueue`).
    async fn enqueue(&self, messages: &[Message]) -> Result<Vec<MessageId>, Error>;

    /// Takes a lane that is free, whose lease has ended, or that a process of the same name held; `None` while another has it.
    async fn lease(&self, lane: u32, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error>;

    /// Extends a lease; `false` if it is lost.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, Error>;

    /// Gives a lane back; harmless if it is lost.
    async fn release(&self, lease: &Lease) -> Result<(), Error>;

    /// Says that a relay of this name lives, for so long from now on, whether it has a lane or not: the relays that live share
    /// the lanes out among themselves.
    async fn heartbeat(&self, owner: &str, ttl: Duration) -> Result<(), Error>;

    /// Takes back what [`heartbeat`](Self::heartbeat) said; harmless if it was over. Its lanes are given back one by one.
    async fn leave(&self, owner: &str) -> Result<(), Error>;

    /// The relays that live, by their names: those that said so, and those that have a lane. All as of one moment.
    async fn relays(&self) -> Result<Vec<RelayInfo>, Error>;

    /// The first messages of each lane that were never tried, lane by lane, each in order: as many as the budget allows,
    /// without those whose key is blocked by an earlier message that waits for a retry and those of a paused topic. Of a lane whose lease was lost before
    /// the read it brings nothing.
    async fn fetch(&self, from: &[Reach], budget: Budget) -> Result<Fetched, Error>;

    /// Who may have enqueued and is not seen yet: while none of these has ended, a message may still appear in front of one
    /// that was read before this was asked. `None` where that cannot be told; relays then read lanes from their start.
    async fn writers(&self) -> Result<Option<Writers>, Error> {
        Ok(None)
    }

    /// The delayed messages of these lanes whose time has come, without those of a paused topic, within the budget: of each
    /// lane so many messages, of all together so many bytes, and one more to reach them.
    async fn due(&self, leases: &[Lease], budget: Budget) -> Result<Due, Error>;

    /// Writes down what became of messages of these lanes, all in one transaction, and logs it. `Sent` is right whoever holds
    /// the lease; `Retry` and `Dead` are written only under it. A message is matched by lane, sequence *and* id.
    async fn settle(
        &self,
        leases: &[Lease],
        history: History,
        settled: &[(&Queued, Verdict)],
    ) -> Result<Settled, Error>;

    /// How many messages wait where.
    async fn counts(&self) -> Result<Counts, Error> {
        Err(Error::Unsupported("counting messages"))
    }

    /// Where the latest messages stand, the newest change first.
    async fn log(&self, _limit: usize) -> Result<Vec<LogRow>, Error> {
        Err(Error::Unsupported("the log"))
    }

    /// What was tried for one message, the oldest first.
    async fn attempts(&self, _id: &MessageId) -> Result<Vec<Attempt>, Error> {
        Err(Error::Unsupported("the log of attempts"))
    }

    /// The latest batches that were sent, the newest first.
    async fn batches(&self, _limit: usize) -> Result<Vec<BatchRow>, Error> {
        Err(Error::Unsupported("the log of batches"))
    }

    /// The oldest dead letters.
    async fn dead(&self, _limit: usize) -> Result<Vec<DeadLetter>, Error> {
        Err(Error::Unsupported("the list of dead letters"))
    }

    /// Puts a dead letter back with its id and a fresh budget; `false` if there is none of this id. A letter that was
    /// enqueued longer ago than `window`, the time that inboxes remember, is refused with [`Error::MayDuplicate`]. The message
    /// says in the header [`REPLAY_WINDOW`](crate::message::REPLAY_WINDOW) on what assumption it was replayed.
    async fn replay(&self, _id: &MessageId, _window: Option<Duration>) -> Result<bool, Error> {
        Err(Error::Unsupported("the replay of dead letters"))
    }

    /// Lets the messages behind a failing one of this key pass; answers how many no longer block. Takes their lanes away from
    /// whoever publishes them, so that they are read from their start.
    async fn release_key(&self, _key: &str) -> Result<u64, Error> {
        Err(Error::Unsupported("releasing a key"))
    }

    /// Holds back the messages of this topic, wherever they wait; `false` if it is paused already. What a relay has read by
    /// then still goes out. A paused message does not hold up those of its key in other topics.
    async fn pause(&self, _topic: &str) -> Result<bool, Error> {
        Err(Error::Unsupported("pausing a topic"))
    }

    /// Lets the messages of this topic go on, in their order; `false` if it was not paused. Takes all lanes away from whoever
    /// publishes them, so that they are read from their start.
    async fn resume(&self, _topic: &str) -> Result<bool, Error> {
        Err(Error::Unsupported("pausing a topic"))
    }

    /// The topics that are paused, in their order.
    async fn paused(&self) -> Result<Vec<PausedTopic>, Error> {
        Err(Error::Unsupported("pausing a topic"))
    }

    /// Deletes up to `limit` rows of the log that are older than `older`.
    async fn purge_history(&self, _older: Duration, _limit: usize) -> Result<u64, Error> {
        Err(Error::Unsupported("purging the log"))
    }

    /// Deletes up to `limit` dead letters that were given up longer ago than `older`.
    async fn purge_dead(&self, _older: Duration, _limit: usize) -> Result<u64, Error> {
        Err(Error::Unsupported("purging dead letters"))
    }

    /// Makes a message due now that has failed and waits for its next try; `false` if none of this id does. It keeps its
    /// attempts and its place in the order of its key.
    async fn resend(&self, _id: &MessageId) -> Result<bool, Error> {
        Err(Error::Unsupported("resending at once"))
    }

    /// The messages that the filter means, the oldest first. It may read all rows of the states that are wanted.
    async fn messages(&self, _filter: &MessageFilter) -> Result<Vec<MessageInfo>, Error> {
        Err(Error::Unsupported("the list of messages"))
    }

    /// A message with what it says; `None` once it was sent.
    async fn message(&self, _id: &MessageId) -> Result<Option<Envelope>, Error> {
        Err(Error::Unsupported("showing a message"))
    }

    /// The lanes, and who publishes them. It counts rows.
    async fn lanes(&self) -> Result<Vec<LaneInfo>, Error> {
        Err(Error::Unsupported("the list of lanes"))
    }

    /// How many messages wait where by topic, in their order. It counts rows.
    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        Err(Error::Unsupported("the list of topics"))
    }
}
