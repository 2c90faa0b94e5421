//! What operators ask of the tables in memory.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::{
    lanes::Held,
    tables::{Delayed, Tables},
};
use crate::{
    ident,
    message::Envelope,
    store::{Counts, LaneInfo, MessageInfo, Status},
};

impl Tables {
    /// How many of those messages wait where.
    pub(super) fn counts(&self, wanted: impl Fn(&Envelope) -> bool) -> Counts {
        let hot = || self.hot.values().filter(|envelope| wanted(envelope));
        let delayed = || self.delayed.values().filter(|delayed| wanted(&delayed.envelope));
        let waiting = hot().chain(delayed().map(|delayed| &delayed.envelope));
        Counts {
            hot: hot().count() as u64,
            delayed: delayed().count() as u64,
            failed: delayed().filter(|delayed| delayed.attempts > 0).count() as u64,
            held: 0,
            dead: self.dead.values().filter(|letter| wanted(&letter.envelope)).count() as u64,
            oldest: waiting.map(|envelope| envelope.enqueued_at).min().map(ago),
        }
    }

    /// Every message that stands somewhere, and every one that was sent and is logged.
    pub(super) fn standing(&self) -> Vec<MessageInfo> {
        let hot = self.hot.values().map(|envelope| shown(envelope, Status::Pending, 0, None, envelope.enqueued_at));
        let delayed = self.delayed.values().map(|delayed| {
            let Delayed { envelope, attempts, error, since, .. } = delayed;
            let status = if *attempts == 0 { Status::Delayed } else { Status::Failed };
            let due = delayed.due.saturating_duration_since(Instant::now());
            let shown = shown(envelope, status, *attempts, error.clone(), *since);
            MessageInfo { due: Some(due), blocks: delayed.blocks, ..shown }
        });
        let dead = self.dead.values().map(|letter| {
            shown(&letter.envelope, Status::Dead, letter.attempts, Some(letter.error.clone()), letter.at)
        });
        let sent = self.history.iter().filter(|(.., attempt)| attempt.status == Status::Sent);
        let sent = sent.map(|(id, topic, sent)| MessageInfo {
            message_id: id.clone(),
            topic: topic.clone(),
            key: None,
            tenant: None,
            status: Status::Sent,
            attempts: sent.attempt,
            last_error: None,
            age: ago(sent.at),
            since: ago(sent.at),
            due: None,
            blocks: false,
            xid: None,
        });
        hot.chain(delayed).chain(dead).chain(sent).collect()
    }

    pub(super) fn topics(&self) -> BTreeSet<String> {
        let waiting = self.hot.values().chain(self.delayed.values().map(|delayed| &delayed.envelope));
        let all = waiting.chain(self.dead.values().map(|letter| &letter.envelope));
        all.map(|envelope| envelope.topic().to_owned()).collect()
    }

    pub(super) fn lane(&self, lane: u32) -> LaneInfo {
        let now = Instant::now();
        let taken = self.leases.get(&lane);
        let held = taken.filter(|held| !held.lease.owner.is_empty());
        let hot = || self.hot.range((lane, i64::MIN)..=(lane, i64::MAX)).map(|(_, envelope)| ago(envelope.enqueued_at));
        let delayed = || self.delayed.values().filter(|delayed| delayed.lane == lane);
        let overdue = delayed().filter(|delayed| delayed.due <= now).map(|delayed| now - delayed.due);
        LaneInfo {
            lane,
            owner: held.map(|held| held.lease.owner.clone()),
            epoch: taken.map_or(0, |held| held.lease.epoch),
            lease: held.map(|Held { until, .. }| until.saturating_duration_since(now)).filter(|left| !left.is_zero()),
            hot: hot().count() as u64,
            delayed: delayed().count() as u64,
            lag: hot().chain(overdue).max(),
        }
    }
}

fn shown(envelope: &Envelope, status: Status, attempts: u32, last_error: Option<String>, at: i64) -> MessageInfo {
    MessageInfo {
        message_id: envelope.id.clone(),
        topic: envelope.topic().to_owned(),
        key: envelope.key().map(str::to_owned),
        tenant: envelope.tenant().map(str::to_owned),
        status,
        attempts,
        last_error,
        age: ago(envelope.enqueued_at),
        since: ago(at),
        due: None,
        blocks: false,
        xid: None,
    }
}

fn ago(at: i64) -> Duration {
    Duration::from_micros(u64::try_from(ident::wall_micros() - at).unwrap_or(0))
}
