//! This process as a member of the group of a queue.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    config::told,
    names::Names,
    tracker::{Leased, Partition, Place, Tracker},
    verdict::failed,
    wire,
};
use crate::{Error, ident};

pub(super) struct Member {
    consumer: BaseConsumer<Watch>,
    /// One polls at a time: what a second one has polled must not be done before the first is taken in.
    turn: Mutex<()>,
    topics: Mutex<BTreeSet<String>>,
    /// How many of the topics it has joined the group for: none until it receives, since who is in the group and does not
    /// poll keeps its part from the others.
    joined: Mutex<usize>,
}

/// Follows which partitions this process has.
pub(super) struct Watch {
    tracker: Mutex<Tracker>,
    retry: Arc<str>,
    /// Whether all retries that are assigned are held back.
    paused: AtomicBool,
}

impl Watch {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(partitions: &TopicPartitionList) -> impl Iterator<Item = Partition> {
        partitions.elements().into_iter().map(|of| (of.topic().into(), of.partition()))
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        told(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                Self::each(partitions).for_each(|of| self.tracker().assign(of));
                // These are not.
                self.paused.store(false, Ordering::Relaxed);
            }
            Rebalance::Revoke(partitions) => Self::each(partitions).for_each(|of| self.tracker().revoke(&of)),
            Rebalance::Error(error) => tracing::warn!(%error, "kafka does not share out partitions"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "kafka did not take a commit; what it was for may come again");
        }
    }
}

impl Member {
    /// Rings the bell when something may have arrived.
    pub(super) fn new(config: &ClientConfig, retry: &str, bell: Arc<Notify>) -> Result<Self, Error> {
        let watch = Watch { tracker: Mutex::default(), retry: retry.into(), paused: AtomicBool::new(false) };
        let made = config.create_with_context(watch);
        let mut consumer: BaseConsumer<Watch> = made.map_err(|error| failed("a kafka client", &error))?;
        consumer.set_nonempty_callback(move || bell.notify_one());
        let topics = Mutex::new(BTreeSet::from([retry.to_owned()]));
        Ok(Self { consumer, turn: Mutex::default(), topics, joined: Mutex::default() })
    }

    /// Takes these topics as well, from the next time that it receives.
    pub(super) fn subscribe(&self, topics: impl IntoIterator<Item = String>) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).extend(topics);
    }

    fn join(&self) -> Result<(), Error> {
        let (topics, mut joined) = (self.topics(), self.joined.lock().unwrap_or_else(PoisonError::into_inner));
        // The same once more would make the whole group share out anew.
        if *joined == topics.len() {
            return Ok(());
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&names).map_err(|error| failed("joining the group", &error))?;
        *joined = topics.len();
        Ok(())
    }

    pub(super) fn topics(&self) -> BTreeSet<String> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Watch> {
        &self.consumer
    }

    pub(super) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.consumer.context().tracker()
    }

    pub(super) fn is_retry(&self, topic: &str) -> bool {
        *self.consumer.context().retry == *topic
    }

    /// Polls, without waiting, until so many are ready or nothing is there, and leases them.
    pub(super) fn receive(&self, names: &Names, visibility: Duration, max: usize) -> Result<Vec<Leased>, Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.join()?;
        self.tracker().tick(Instant::now());
        self.hold_back();
        let (mut empty, mut taken, mut failure) = (0, 0, None);
        // Retries whose time is not come are not ready: a turn that takes in many of them ends, and the next holds them back.
        while empty < EMPTY && taken < max + HELD && self.tracker().ready() < max {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(record)) => {
                    self.take_in(names, &record);
                    taken += 1;
                }
                Some(Err(error)) => {
                    failure = Some(error);
                    break;
                }
                None => empty += 1,
            }
        }
        let leased = self.tracker().lease(Instant::now() + visibility, max);
        match failure {
            Some(error) if leased.is_empty() => Err(failed("receiving", &error)),
            _ => Ok(leased),
        }
    }

    /// The record is done. It is committed with others in a while.
    pub(super) fn done(&self, place: &Place, token: u64) -> Result<(), Error> {
        // Held until the offset is stored, or a lower one might be stored over it.
        let mut tracker = self.tracker();
        let up_to = tracker.done(place, token)?;
        let mut offsets = TopicPartitionList::new();
        let (topic, partition) = &place.partition;
        let stored = offsets
            .add_partition_offset(topic, *partition, Offset::Offset(up_to))
            .and_then(|()| self.consumer.store_offsets(&offsets));
        // The partition is going to another.
        stored.map_err(|_| Error::LeaseLost)
    }

    fn take_in(&self, names: &Names, record: &BorrowedMessage<'_>) {
        let read = wire::read(record, names.own(record.topic()));
        let written = record.timestamp().to_millis().unwrap_or(0).saturating_mul(1000);
        let due = read.due.filter(|_| self.is_retry(record.topic())).and_then(|due| from_now(due, written));
        let place = Place { partition: (record.topic().into(), record.partition()), offset: record.offset() };
        self.tracker().take_in(place, read, due);
    }

    /// Fetches no more retries while many wait here for their time.
    fn hold_back(&self) {
        let waiting = self.tracker().waiting();
        let watch = self.consumer.context();
        let paused = watch.paused.load(Ordering::Relaxed);
        if paused == (waiting >= if paused { HELD / 2 } else { HELD }) {
            return;
        }
        let retries = self.consumer.assignment().map(|all| {
            let mut retries = TopicPartitionList::new();
            for of in all.elements_for_topic(&watch.retry) {
                retries.add_partition(of.topic(), of.partition());
            }
            retries
        });
        let done = retries.and_then(|of| if paused { self.consumer.resume(&of) } else { self.consumer.pause(&of) });
        match done {
            Ok(()) => watch.paused.store(!paused, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "kafka: retries are not held back"),
        }
    }
}

/// The moment that the wall clock calls `due`; `None` if it is over. Never further away than it was when that was written, or a
/// clock that was wrong by a year would make a retry wait for one.
fn from_now(due: i64, written: i64) -> Option<Instant> {
    let wait = due.saturating_sub(ident::wall_micros()).min(due.saturating_sub(written));
    let wait = u64::try_from(wait).ok().filter(|wait| *wait > 0)?;
    Some(Instant::now() + Duration::from_micros(wait).min(LONGEST_WAIT))
}

/// A poll that only shares out partitions looks like one that finds nothing.
const EMPTY: u32 = 2;
/// Most retries that wait in memory for their time.
const HELD: usize = 1000;
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_makes_a_retry_wait_longer_than_its_pause() {
        const MINUTE: i64 = 60_000_000;
        const YEAR: i64 = 365 * 24 * 60 * MINUTE;
        let wait = |due, written| from_now(due, written).map(|at| at - Instant::now());
        let now = ident::wall_micros();
        assert!(wait(now + MINUTE, now).unwrap() > Duration::from_secs(50));
        assert!(wait(now + YEAR + MINUTE, now + YEAR).unwrap() <= Duration::from_secs(60), "written by a clock ahead");
        assert_eq!(wait(now - YEAR, now - YEAR - MINUTE), None, "and by one behind");
        assert!(wait(i64::MAX, 0).unwrap() <= LONGEST_WAIT);
    }
}
