//! What the library answers, as JSON with names that stay, and in the words of tables.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onceward_backend::internal::cli::span::{millis, short};
use onceward_backend::internal::cli::{Table, span};
use onceward_reliable_mq::{Attempt, Counts, Envelope, LaneInfo, MessageInfo, RelayInfo};
use serde_json::{Value, json};

/// So much of a payload is shown.
const MOST: usize = 4096;

pub(crate) fn message(shown: &MessageInfo) -> Value {
    json!({
        "message_id": shown.message_id.as_str(),
        "topic": shown.topic,
        "key": shown.key,
        "tenant": shown.tenant,
        "state": shown.status.as_str(),
        "attempts": shown.attempts,
        "error": shown.last_error,
        "age_ms": millis(shown.age),
        "since_ms": millis(shown.since),
        "due_ms": shown.due.map(millis),
        "blocks": shown.blocks,
        "xid": shown.xid,
    })
}

pub(crate) fn counts(counts: &Counts) -> Value {
    json!({
        "oldest_ms": counts.oldest.map(millis),
        "hot": counts.hot,
        "delayed": counts.delayed,
        "failed": counts.failed,
        "held": counts.held,
        "dead": counts.dead,
    })
}

pub(crate) fn lane(lane: &LaneInfo) -> Value {
    json!({
        "lane": lane.lane,
        "owner": lane.owner,
        "epoch": lane.epoch,
        "lease_ms": lane.lease.map(millis),
        "hot": lane.hot,
        "delayed": lane.delayed,
        "lag_ms": lane.lag.map(millis),
    })
}

pub(crate) fn relay(relay: &RelayInfo) -> Value {
    json!({ "owner": relay.owner, "lanes": relay.lanes, "alive_ms": millis(relay.alive) })
}

pub(crate) fn attempt(attempt: &Attempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "outcome": attempt.status.as_str(),
        "error": attempt.error,
        "at_ms": attempt.at / 1_000,
    })
}

pub(crate) fn attempts(attempts: &[Attempt]) -> Table {
    let mut table = Table::new(["ATTEMPT", "OUTCOME", "AGO", "ERROR"]);
    for one in attempts {
        let error = one.error.clone().unwrap_or_default();
        table.row([one.attempt.to_string(), one.status.as_str().to_owned(), ago(one.at), error]);
    }
    table
}

/// By the clock of this machine, which may be another than the database's.
fn ago(at: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_micros(at.unsigned_abs());
    span::short(SystemTime::now().duration_since(at).unwrap_or_default())
}

/// A time that may not be there.
pub(crate) fn maybe(span: Option<Duration>) -> String {
    span.map_or_else(String::new, short)
}

/// The payload as text, or what its bytes are; and whether that is not all of it.
pub(crate) struct Payload {
    pub(crate) shown: Result<String, String>,
    pub(crate) bytes: usize,
    pub(crate) is_cut: bool,
}

impl Payload {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        let all = envelope.payload();
        let shown = match std::str::from_utf8(all) {
            Ok(text) => Ok(text[..text.floor_char_boundary(MOST)].to_owned()),
            Err(_) => Err(all.iter().take(MOST).map(|byte| format!("{byte:02x}")).collect()),
        };
        Self { shown, bytes: all.len(), is_cut: all.len() > MOST }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "text": self.shown.as_ref().ok(),
            "hex": self.shown.as_ref().err(),
            "bytes": self.bytes,
            "cut": self.is_cut,
        })
    }
}
