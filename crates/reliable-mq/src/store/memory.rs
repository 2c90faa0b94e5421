//! The store in memory: for tests and for services whose messages may die with them.

mod inspect;
mod lanes;
mod tables;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use self::{
    lanes::Held,
    tables::{Delayed, Tables},
};
use super::{
    Attempt, BatchRow, Batches, Budget, Counts, DeadLetter, Due, Fetched, History, LaneInfo, Lease, LogRow,
    MessageFilter, MessageInfo, PausedTopic, Place, Queued, Reach, RelayInfo, Settled, Status, Store,
    StoreCapabilities, TopicInfo, Verdict,
};
use crate::{
    Error, ident,
    message::{Envelope, Message, MessageId, Origin, REPLAY_WINDOW, Replay, check_topic, lane},
};

/// Messages in memory, spread over as many lanes as wanted. It keeps every promise of the contract but durability.
#[derive(Clone)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    arrivals: Arc<Notify>,
    lanes: u32,
}

impl MemoryStore {
    /// An empty store with one lane.
    #[must_use]
    pub fn new() -> Self {
        Self::with_lanes(1)
    }

    /// An empty store with this many lanes, at least one.
    #[must_use]
    pub fn with_lanes(lanes: u32) -> Self {
        Self { tables: Arc::default(), arrivals: Arc::default(), lanes: lanes.max(1) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::new(self.lanes, false)
    }

    fn arrivals(&self) -> Arc<Notify> {
        Arc::clone(&self.arrivals)
    }

    async fn enqueue(&self, messages: &[Message]) -> Result<Vec<MessageId>, Error> {
        let mut tables = self.tables();
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            let envelope = ident::envelope(message, ident::wall_micros());
            let lane = lane(message.key(), &envelope.id, self.lanes);
            ids.push(envelope.id.clone());
            if message.delay.is_zero() {
                tables.push(lane, envelope);
                continue;
            }
            let delayed = Delayed {
                lane,
                sequence: 0,
                attempts: 0,
                blocks: false,
                due: Instant::now() + message.delay,
                error: None,
                since: envelope.enqueued_at,
                envelope,
            };
            tables.delayed.entry(delayed.envelope.id.clone()).or_insert(delayed);
        }
        drop(tables);
        self.arrivals.notify_one();
        Ok(ids)
    }

    async fn lease(&self, lane: u32, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        Ok(if lane < self.lanes { self.tables().take_lane(lane, owner, ttl) } else { None })
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, Error> {
        Ok(self.tables().keep_lane(lease, ttl))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.tables().give_lane(lease);
        Ok(())
    }

    async fn heartbeat(&self, owner: &str, ttl: Duration) -> Result<(), Error> {
        self.tables().relays.insert(owner.to_owned(), Instant::now() + ttl);
        Ok(())
    }

    async fn leave(&self, owner: &str) -> Result<(), Error> {
        self.tables().relays.remove(owner);
        Ok(())
    }

    async fn relays(&self) -> Result<Vec<RelayInfo>, Error> {
        Ok(self.tables().living())
    }

    async fn fetch(&self, from: &[Reach], budget: Budget) -> Result<Fetched, Error> {
        let tables = self.tables();
        let (held, lost): (Vec<_>, Vec<_>) = from.iter().partition(|reach| tables.holds(&reach.lease));
        let blocking = tables.delayed.values().filter(|delayed| delayed.blocks);
        let blocked: HashSet<&str> = blocking.filter_map(|delayed| delayed.envelope.key()).collect();
        let lane = |reach: &&Reach| {
            let (lane, epoch) = (reach.lease.lane, reach.lease.epoch);
            let range = tables.hot.range((lane, reach.after.saturating_add(1))..=(lane, i64::MAX));
            let free = range.filter(|(_, envelope)| {
                !tables.paused.contains_key(envelope.topic()) && envelope.key().is_none_or(|key| !blocked.contains(key))
            });
            let queued = free.take(budget.messages).map(|(&(lane, sequence), envelope)| Queued {
                envelope: envelope.clone().with_origin(Origin { lane, sequence, epoch }),
                lane,
                place: Place::Hot,
                sequence,
                attempts: 0,
                flaw: None,
            });
            queued.collect::<Vec<_>>()
        };
        let mut room = budget.room();
        let queued = held.iter().flat_map(lane).take_while(|queued| room(&queued.envelope)).collect();
        Ok(Fetched { queued, lost: lost.iter().map(|reach| reach.lease.lane).collect() })
    }

    async fn due(&self, leases: &[Lease], budget: Budget) -> Result<Due, Error> {
        let (now, tables) = (Instant::now(), self.tables());
        let (mut due, mut room) = (Due::default(), budget.room());
        for lease in leases {
            let mut waiting: Vec<&Delayed> = tables.delayed.values().filter(|row| row.lane == lease.lane).collect();
            waiting.sort_by_key(|row| (row.due, row.sequence));
            if let Some(next) = waiting.first().filter(|row| row.due > now) {
                due.waits(next.due - now);
            }
            let ready = waiting.into_iter().take_while(|row| row.due <= now);
            let ready = ready.filter(|row| !tables.paused.contains_key(row.envelope.topic()));
            let ready = ready.take(budget.messages).take_while(|row| room(&row.envelope));
            due.ready.extend(ready.map(|row| {
                let origin = Origin { lane: row.lane, sequence: row.sequence, epoch: lease.epoch };
                let envelope = row.envelope.clone();
                Queued {
                    envelope: if row.sequence == 0 { envelope } else { envelope.with_origin(origin) },
                    lane: row.lane,
                    place: Place::Delayed,
                    sequence: row.sequence,
                    attempts: row.attempts,
                    flaw: None,
                }
            }));
        }
        Ok(due)
    }

    async fn settle(
        &self,
        leases: &[Lease],
        history: History,
        settled: &[(&Queued, Verdict)],
    ) -> Result<Settled, Error> {
        let mut tables = self.tables();
        let mut report = Settled::default();
        for lease in Settled::failing(leases, settled) {
            if !tables.holds(lease) {
                report.fenced.push(lease.lane);
            }
        }
        let mut batches = Batches::default();
        for (queued, verdict) in settled {
            let moved = match verdict {
                Verdict::Sent => tables.remove(queued).is_some(),
                _ if report.fenced.contains(&queued.lane) => continue,
                Verdict::Retry { after, error, blocks } => tables.postpone(queued, *after, error, *blocks),
                Verdict::Dead { error } => tables.bury(queued, error),
            };
            if !moved {
                report.gone += 1;
                continue;
            }
            report.done += 1;
            match verdict {
                Verdict::Sent if history == History::Off => {}
                Verdict::Sent if history == History::Batches && queued.place == Place::Hot => {
                    batches.add(queued.lane, queued.sequence, ident::wall_micros());
                }
                Verdict::Sent => tables.log(queued, Status::Sent, None),
                Verdict::Retry { error, .. } => tables.log(queued, Status::Failed, Some(error)),
                Verdict::Dead { error } => tables.log(queued, Status::Dead, Some(error)),
            }
        }
        tables.batches.extend(batches.rows());
        Ok(report)
    }

    async fn counts(&self) -> Result<Counts, Error> {
        Ok(self.tables().counts(|_| true))
    }

    async fn log(&self, limit: usize) -> Result<Vec<LogRow>, Error> {
        let tables = self.tables();
        let row = |id: &MessageId, topic: &str, status, attempts, last_error: Option<&String>, at| LogRow {
            message_id: id.clone(),
            topic: topic.to_owned(),
            status,
            attempts,
            last_error: last_error.cloned(),
            at,
        };
        let mut rows: Vec<LogRow> = Vec::new();
        rows.extend(
            tables.hot.values().map(|hot| row(&hot.id, hot.topic(), Status::Pending, 0, None, hot.enqueued_at)),
        );
        rows.extend(tables.delayed.iter().map(|(id, delayed)| {
            let status = if delayed.attempts == 0 { Status::Delayed } else { Status::Failed };
            row(id, delayed.envelope.topic(), status, delayed.attempts, delayed.error.as_ref(), delayed.since)
        }));
        rows.extend(
            tables.dead.iter().map(|(id, dead)| {
                row(id, dead.envelope.topic(), Status::Dead, dead.attempts, Some(&dead.error), dead.at)
            }),
        );
        let sent = tables.history.iter().filter(|(.., attempt)| attempt.status == Status::Sent);
        rows.extend(sent.map(|(id, topic, sent)| row(id, topic, sent.status, sent.attempt, None, sent.at)));
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn attempts(&self, id: &MessageId) -> Result<Vec<Attempt>, Error> {
        let tables = self.tables();
        let mine = tables.history.iter().filter(|(of, ..)| of == id);
        Ok(mine.map(|(.., attempt)| attempt.clone()).collect())
    }

    async fn batches(&self, limit: usize) -> Result<Vec<BatchRow>, Error> {
        Ok(self.tables().batches.iter().rev().take(limit).copied().collect())
    }

    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut dead: Vec<DeadLetter> = self.tables().dead.values().cloned().collect();
        dead.sort_by_key(|letter| letter.at);
        dead.truncate(limit);
        Ok(dead)
    }

    async fn replay(&self, id: &MessageId, window: Option<Duration>) -> Result<bool, Error> {
        let mut tables = self.tables();
        let Some(letter) = tables.dead.get(id) else { return Ok(false) };
        let age = ident::wall_micros() - letter.envelope.enqueued_at;
        if window.is_some_and(|window| age > ident::micros(window)) {
            return Err(Error::MayDuplicate);
        }
        if let Some(mut letter) = tables.dead.remove(id) {
            Arc::make_mut(&mut letter.envelope.message)
                .headers
                .insert(REPLAY_WINDOW.to_owned(), Replay::new(window).header());
            let lane = lane(letter.envelope.key(), id, self.lanes);
            tables.push(lane, letter.envelope);
        }
        drop(tables);
        self.arrivals.notify_one();
        Ok(true)
    }

    async fn release_key(&self, key: &str) -> Result<u64, Error> {
        let (mut released, mut tables) = (0, self.tables());
        let Tables { delayed, leases, .. } = &mut *tables;
        for delayed in delayed.values_mut().filter(|delayed| delayed.blocks && delayed.envelope.key() == Some(key)) {
            delayed.blocks = false;
            released += 1;
            if let Some(held) = leases.get_mut(&delayed.lane) {
                held.take_away();
            }
        }
        drop(tables);
        self.arrivals.notify_one();
        Ok(released)
    }

    async fn pause(&self, topic: &str) -> Result<bool, Error> {
        check_topic(topic)?;
        let mut tables = self.tables();
        let pauses = !tables.paused.contains_key(topic);
        tables.paused.entry(topic.to_owned()).or_insert_with(ident::wall_micros);
        Ok(pauses)
    }

    async fn resume(&self, topic: &str) -> Result<bool, Error> {
        let mut tables = self.tables();
        let resumes = tables.paused.remove(topic).is_some();
        if resumes {
            tables.leases.values_mut().for_each(Held::take_away);
        }
        drop(tables);
        self.arrivals.notify_one();
        Ok(resumes)
    }

    async fn paused(&self) -> Result<Vec<PausedTopic>, Error> {
        let tables = self.tables();
        Ok(tables.paused.iter().map(|(topic, at)| PausedTopic { topic: topic.clone(), at: *at }).collect())
    }

    async fn purge_history(&self, older: Duration, limit: usize) -> Result<u64, Error> {
        let before = ident::wall_micros() - ident::micros(older);
        let mut purged = 0;
        let mut stays = |at: i64| {
            let old = at < before && purged < limit;
            purged += usize::from(old);
            !old
        };
        let mut tables = self.tables();
        tables.history.retain(|(.., attempt)| stays(attempt.at));
        tables.batches.retain(|batch| stays(batch.at));
        Ok(purged as u64)
    }

    async fn purge_dead(&self, older: Duration, limit: usize) -> Result<u64, Error> {
        let before = ident::wall_micros() - ident::micros(older);
        let mut purged = 0;
        self.tables().dead.retain(|_, letter| {
            let old = letter.at < before && purged < limit;
            purged += usize::from(old);
            !old
        });
        Ok(purged as u64)
    }

    async fn resend(&self, id: &MessageId) -> Result<bool, Error> {
        let mut tables = self.tables();
        let Some(waits) = tables.delayed.get_mut(id).filter(|delayed| delayed.attempts > 0) else { return Ok(false) };
        waits.due = waits.due.min(Instant::now());
        drop(tables);
        self.arrivals.notify_one();
        Ok(true)
    }

    async fn messages(&self, filter: &MessageFilter) -> Result<Vec<MessageInfo>, Error> {
        let mut found = self.tables().standing();
        found.retain(|shown| filter.admits(shown));
        found.sort_by_key(|shown| std::cmp::Reverse(shown.age));
        found.truncate(filter.limit);
        Ok(found)
    }

    async fn message(&self, id: &MessageId) -> Result<Option<Envelope>, Error> {
        let tables = self.tables();
        let mut hot = tables.hot.values().filter(|envelope| envelope.id == *id);
        let waits = hot.next().or_else(|| tables.delayed.get(id).map(|delayed| &delayed.envelope));
        Ok(waits.or_else(|| tables.dead.get(id).map(|letter| &letter.envelope)).cloned())
    }

    async fn lanes(&self) -> Result<Vec<LaneInfo>, Error> {
        let tables = self.tables();
        Ok((0..self.lanes).map(|lane| tables.lane(lane)).collect())
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        let tables = self.tables();
        let counts = |topic: &str| tables.counts(|envelope| envelope.topic() == topic);
        Ok(tables.topics().into_iter().map(|topic| TopicInfo { counts: counts(&topic), topic }).collect())
    }
}
