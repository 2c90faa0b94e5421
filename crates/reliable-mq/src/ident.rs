//! The one place that makes ids and reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::message::{Envelope, Message, MessageId};

/// A fresh message id, ordered by time.
pub(crate) fn message_id(message: &Message) -> MessageId {
    message.id.clone().unwrap_or_else(|| MessageId::trusted(Uuid::now_v7().to_string()))
}

/// A fresh name for a process.
pub(crate) fn instance() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Wall clock in microseconds since the epoch, where no database tells the time.
pub(crate) fn wall_micros() -> i64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in whole microseconds; one that does not fit counts as the longest.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

/// Puts a message into an envelope of its own.
pub(crate) fn envelope(message: &Message, enqueued_at: i64) -> Envelope {
    Envelope::new(message_id(message), message.clone(), enqueued_at)
}
