//! What a process has of a queue's partitions: which records are with a consumer, which wait, and up to where all is done.
//!
//! Kafka keeps one number for a partition, the offset up to which all is done; which records above it are done as well is known
//! here alone, and forgotten with the process. Deliveries are leased within the process: another gets the whole partition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::Instant;

use super::wire::Read;
use crate::{Error, broker::headers::Past, message::Envelope};

/// A topic and the number of a partition.
pub(super) type Partition = (Arc<str>, i32);

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) partition: Partition,
    pub(super) offset: i64,
}

/// A record with a consumer. Its token is of this delivery alone.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) place: Place,
    pub(super) token: u64,
    pub(super) envelope: Arc<Envelope>,
    pub(super) failures: u32,
    pub(super) deliveries: u32,
}

#[derive(Debug, Default)]
pub(super) struct Tracker {
    partitions: BTreeMap<Partition, Records>,
    /// In the order in which they came, also when they come again.
    ready: BTreeMap<u64, Place>,
    /// When a lease ends, or a retry is due.
    timers: BTreeSet<(Instant, Place)>,
    came: u64,
    tokens: u64,
}

/// The records of a partition that are not done. What is below `next` and not among them is.
#[derive(Debug, Default)]
struct Records {
    next: Option<i64>,
    open: BTreeMap<i64, Record>,
}

#[derive(Debug)]
struct Record {
    came: u64,
    envelope: Arc<Envelope>,
    past: Past,
    token: Option<u64>,
    timer: Option<Instant>,
}

impl Tracker {
    /// The partition is this process's from now on.
    pub(super) fn assign(&mut self, partition: Partition) {
        self.partitions.entry(partition).or_default();
    }

    /// The partition is another's: what was out of it is delivered there again.
    pub(super) fn revoke(&mut self, partition: &Partition) {
        self.partitions.remove(partition);
        self.ready.retain(|_, place| place.partition != *partition);
        self.timers.retain(|(_, place)| place.partition != *partition);
    }

    /// Takes a record in, to be delivered when its time has come.
    pub(super) fn take_in(&mut self, place: Place, read: Read, due: Option<Instant>) {
        let Some(records) = self.partitions.get_mut(&place.partition) else { return };
        records.next = records.next.max(Some(place.offset + 1));
        // A log that was cut back is read again from there: what is still here is as good.
        if records.open.contains_key(&place.offset) {
            return;
        }
        self.came += 1;
        let (came, envelope) = (self.came, Arc::new(read.envelope));
        records.open.insert(place.offset, Record { came, envelope, past: read.past, token: None, timer: due });
        match due {
            Some(due) => drop(self.timers.insert((due, place))),
            None => drop(self.ready.insert(came, place)),
        }
    }

    /// Makes ready what is due, and what had a lease that has ended.
    pub(super) fn tick(&mut self, now: Instant) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, place)) = self.timers.pop_first() else { break };
            if let Some(record) = self.record(&place) {
                (record.timer, record.token) = (None, None);
                let came = record.came;
                self.ready.insert(came, place);
            }
        }
    }

    /// Leases up to `max` of what is ready.
    pub(super) fn lease(&mut self, until: Instant, max: usize) -> Vec<Leased> {
        let mut leased = Vec::new();
        while leased.len() < max {
            let Some((_, place)) = self.ready.pop_first() else { break };
            self.tokens += 1;
            let token = self.tokens;
            let Some(record) = self.record(&place) else { continue };
            (record.timer, record.token) = (Some(until), Some(token));
            record.past.deliveries = record.past.deliveries.saturating_add(1);
            let (envelope, Past { failures, deliveries, .. }) = (Arc::clone(&record.envelope), record.past.clone());
            self.timers.insert((until, place.clone()));
            leased.push(Leased { place, token, envelope, failures, deliveries });
        }
        leased
    }

    /// Ends a lease with the record done, and answers up to where its partition is.
    pub(super) fn done(&mut self, place: &Place, token: u64) -> Result<i64, Error> {
        self.end(place, token)?;
        let records = self.partitions.get_mut(&place.partition).ok_or(Error::LeaseLost)?;
        records.open.remove(&place.offset);
        let next = records.next.unwrap_or(place.offset + 1);
        Ok(records.open.first_key_value().map_or(next, |(offset, _)| *offset))
    }

    /// Ends a lease with the record as it was.
    pub(super) fn release(&mut self, place: &Place, token: u64) -> Result<(), Error> {
        let came = self.end(place, token)?;
        self.ready.insert(came, place.clone());
        Ok(())
    }

    /// Whether this delivery still has the lease.
    pub(super) fn holds(&mut self, place: &Place, token: u64) -> Result<(), Error> {
        let held = self.record(place).is_some_and(|record| record.token == Some(token));
        if held { Ok(()) } else { Err(Error::LeaseLost) }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many records are ready, wait for their time, and are with a consumer.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let open = || self.partitions.values().flat_map(|records| records.open.values());
        let leased = open().filter(|record| record.token.is_some()).count();
        (self.ready.len(), open().count() - self.ready.len() - leased, leased)
    }

    /// How many wait for their time.
    pub(super) fn waiting(&self) -> usize {
        self.counts().1
    }

    /// Up to where the partition was read; `None` if nothing was, or it is another's.
    pub(super) fn read_up_to(&self, partition: &Partition) -> Option<i64> {
        self.partitions.get(partition)?.next
    }

    fn end(&mut self, place: &Place, token: u64) -> Result<u64, Error> {
        let record = self.record(place).filter(|record| record.token == Some(token)).ok_or(Error::LeaseLost)?;
        record.token = None;
        let (came, timer) = (record.came, record.timer.take());
        if let Some(timer) = timer {
            self.timers.remove(&(timer, place.clone()));
        }
        Ok(came)
    }

    fn record(&mut self, place: &Place) -> Option<&mut Record> {
        self.partitions.get_mut(&place.partition)?.open.get_mut(&place.offset)
    }
}

#[cfg(test)]
mod tests;
