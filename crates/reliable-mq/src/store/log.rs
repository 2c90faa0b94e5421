//! What the log tells of messages, and what was given up.

use std::collections::BTreeMap;

use crate::message::{Envelope, MessageId};

/// What the log keeps of messages that were sent. Failures are always logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum History {
    /// One row per finished message and one per failed attempt.
    #[default]
    Rows,
    /// One row per lane of an acknowledged batch, in `mq_batch`, and one row per failed attempt. A message that is sent after
    /// it had failed has its row as well. For throughput: the log then does not name what was sent at once.
    Batches,
    /// Only failed attempts.
    Off,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Waits for its first try.
    Pending,
    /// Its sender asked for a delay.
    Delayed,
    /// The last try failed; it will be tried again.
    Failed,
    /// Given up.
    Dead,
    /// The broker has it.
    Sent,
    /// Held back until its global transaction is decided.
    Held,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Delayed, Self::Failed, Self::Dead, Self::Sent, Self::Held];

    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Sent => "sent",
            Self::Held => "held",
        }
    }

    /// Reads the word in the table.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// A row of the log: where one message stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRow {
    /// Which message.
    pub message_id: MessageId,
    /// Its topic.
    pub topic: String,
    /// Where it stands.
    pub status: Status,
    /// How many attempts it took so far.
    pub attempts: u32,
    /// The reason of the last failed attempt.
    pub last_error: Option<String>,
    /// Since when, in microseconds since the epoch.
    pub at: i64,
}

/// One finished or failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// `Sent`, `Failed` or `Dead`.
    pub status: Status,
    /// The how manieth.
    pub attempt: u32,
    /// Why it failed.
    pub error: Option<String>,
    /// When, in microseconds since the epoch.
    pub at: i64,
}

/// Messages of one lane that were sent together, where the history is kept in [batches](History::Batches).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchRow {
    /// Their lane.
    pub lane: u32,
    /// The lowest of their sequences.
    pub first: i64,
    /// The highest.
    pub last: i64,
    /// How many they are.
    pub messages: u64,
    /// When they were written down, in microseconds since the epoch.
    pub at: i64,
}

/// Counts the messages of a settle by lane.
#[derive(Default)]
pub(crate) struct Batches(BTreeMap<u32, BatchRow>);

impl Batches {
    pub(crate) fn add(&mut self, lane: u32, place: i64, at: i64) {
        let batch = self.0.entry(lane).or_insert(BatchRow { lane, first: place, last: place, messages: 0, at });
        batch.first = batch.first.min(place);
        batch.last = batch.last.max(place);
        batch.messages += 1;
    }

    pub(crate) fn rows(self) -> impl Iterator<Item = BatchRow> {
        self.0.into_values()
    }
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message.
    pub envelope: Envelope,
    /// How many attempts it had.
    pub attempts: u32,
    /// The last reason.
    pub error: String,
    /// When it was given up, in microseconds since the epoch.
    pub at: i64,
}
