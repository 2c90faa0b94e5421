//! The tables in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::lanes::Held;
use crate::{
    ident,
    message::{Envelope, MessageId},
    store::{Attempt, BatchRow, DeadLetter, Place, Queued, Status},
};

#[derive(Default)]
pub(super) struct Tables {
    pub(super) last: i64,
    pub(super) hot: BTreeMap<(u32, i64), Envelope>,
    pub(super) delayed: BTreeMap<MessageId, Delayed>,
    pub(super) dead: BTreeMap<MessageId, DeadLetter>,
    pub(super) history: Vec<(MessageId, String, Attempt)>,
    pub(super) batches: Vec<BatchRow>,
    pub(super) paused: BTreeMap<String, i64>,
    pub(super) leases: HashMap<u32, Held>,
    pub(super) relays: BTreeMap<String, Instant>,
}

pub(super) struct Delayed {
    pub(super) lane: u32,
    pub(super) sequence: i64,
    pub(super) envelope: Envelope,
    pub(super) attempts: u32,
    pub(super) blocks: bool,
    pub(super) due: Instant,
    pub(super) error: Option<String>,
    pub(super) since: i64,
}

impl Tables {
    pub(super) fn push(&mut self, lane: u32, envelope: Envelope) {
        self.last += 1;
        self.hot.insert((lane, self.last), envelope);
    }

    pub(super) fn remove(&mut self, queued: &Queued) -> Option<Envelope> {
        let id = &queued.envelope.id;
        match queued.place {
            Place::Hot => {
                let place = (queued.lane, queued.sequence);
                (self.hot.get(&place)?.id == *id).then(|| self.hot.remove(&place))?
            }
            Place::Delayed => {
                let delayed = self.delayed.get(id)?;
                let same = delayed.lane == queued.lane && delayed.sequence == queued.sequence;
                same.then(|| self.delayed.remove(id)).flatten().map(|delayed| delayed.envelope)
            }
        }
    }

    pub(super) fn postpone(&mut self, queued: &Queued, after: Duration, error: &str, blocks: bool) -> bool {
        let released = self.delayed.get(&queued.envelope.id).is_some_and(|delayed| !delayed.blocks);
        let Some(envelope) = self.remove(queued) else { return false };
        let delayed = Delayed {
            lane: queued.lane,
            sequence: queued.sequence,
            attempts: queued.attempts + 1,
            blocks: blocks && envelope.key().is_some() && !released,
            due: Instant::now() + after,
            error: Some(error.to_owned()),
            since: ident::wall_micros(),
            envelope,
        };
        self.delayed.entry(queued.envelope.id.clone()).or_insert(delayed);
        true
    }

    pub(super) fn bury(&mut self, queued: &Queued, error: &str) -> bool {
        let Some(envelope) = self.remove(queued) else { return false };
        let letter =
            DeadLetter { envelope, attempts: queued.attempts + 1, error: error.to_owned(), at: ident::wall_micros() };
        self.dead.entry(queued.envelope.id.clone()).or_insert(letter);
        true
    }

    pub(super) fn log(&mut self, queued: &Queued, status: Status, error: Option<&str>) {
        let attempt =
            Attempt { status, attempt: queued.attempts + 1, error: error.map(str::to_owned), at: ident::wall_micros() };
        self.history.push((queued.envelope.id.clone(), queued.envelope.topic().to_owned(), attempt));
    }
}
