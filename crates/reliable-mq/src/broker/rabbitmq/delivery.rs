//! Deliveries of RabbitMQ, and who has them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lapin::{
    Acker,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::time::Instant;

use super::{Shared, link::within, wire};
use crate::{
    Error,
    broker::{Delivery, Outcome, headers::Past, reason},
    message::Envelope,
};

/// The deliveries that this process has in hand.
#[derive(Default)]
pub(super) struct Leases {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    open: HashMap<u64, Lease>,
}

struct Lease {
    queue: String,
    acker: Acker,
    until: Instant,
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, queue: &str, acker: Acker, visibility: Duration) -> u64 {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.open.insert(number, Lease { queue: queue.to_owned(), acker, until: Instant::now() + visibility });
        number
    }

    pub(super) fn count(&self, queue: &str) -> u64 {
        let open = |lease: &&Lease| lease.queue == queue && lease.acker.usable();
        self.state().open.values().filter(open).count() as u64
    }

    /// Takes out those of a queue whose time is over; those whose channel is gone are forgotten.
    pub(super) fn expired(&self, queue: &str) -> Vec<Acker> {
        let now = Instant::now();
        let mut state = self.state();
        state.open.retain(|_, lease| lease.acker.usable());
        state
            .open
            .extract_if(|_, lease| lease.queue == queue && lease.until <= now)
            .map(|(_, lease)| lease.acker)
            .collect()
    }

    fn holds(&self, number: u64) -> bool {
        self.state().open.get(&number).is_some_and(|lease| lease.acker.usable())
    }

    fn take(&self, number: u64) -> Result<Acker, Error> {
        let lease = self.state().open.remove(&number).filter(|lease| lease.acker.usable());
        lease.map(|lease| lease.acker).ok_or(Error::LeaseLost)
    }
}

pub(super) struct RabbitMqDelivery {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: String,
    pub(super) lease: u64,
    pub(super) envelope: Envelope,
    pub(super) failures: u32,
    pub(super) deliveries: u32,
}

impl RabbitMqDelivery {
    /// Takes the message off its queue, once it is kept elsewhere or done with.
    async fn settle(&self) -> Result<(), Error> {
        let acker = self.shared.leases.take(self.lease)?;
        let settled = within(self.shared.options.timeout, acker.ack(BasicAckOptions::default())).await?;
        if settled { Ok(()) } else { Err(Error::LeaseLost) }
    }

    async fn give_back(&self) -> Result<(), Error> {
        let acker = self.shared.leases.take(self.lease)?;
        let settled = within(self.shared.options.timeout, acker.nack(REQUEUE)).await?;
        self.shared.bells.ring_all();
        if settled { Ok(()) } else { Err(Error::LeaseLost) }
    }

    /// First there, then not here: a crash between leaves two, never none.
    async fn move_to(&self, target: &str, past: &Past) -> Result<(), Error> {
        if !self.shared.leases.holds(self.lease) {
            return Err(Error::LeaseLost);
        }
        match self.shared.put(target, &self.envelope, past).await {
            Outcome::Accepted => self.settle().await,
            outcome => {
                self.give_back().await?;
                Err(Error::Broker(format!("the message was not moved: {outcome:?}").into()))
            }
        }
    }

    fn past(&self, reason: Option<&str>) -> Past {
        let reason = reason.map(reason::shortened);
        Past { failures: self.failures.saturating_add(1), deliveries: self.deliveries, reason }
    }
}

pub(super) const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

impl fmt::Debug for RabbitMqDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqDelivery")
            .field("queue", &self.queue)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Delivery for RabbitMqDelivery {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn failures(&self) -> u32 {
        self.failures
    }

    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.settle().await
    }

    async fn retry(self: Box<Self>, after: Duration, _reason: &str) -> Result<(), Error> {
        let target = match self.shared.waiting_room(&self.queue, after).await {
            Ok(target) => target,
            Err(error) => {
                self.give_back().await?;
                return Err(error);
            }
        };
        self.move_to(&target, &self.past(None)).await?;
        if after.is_zero() {
            self.shared.bells.ring_all();
        }
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.give_back().await
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error> {
        let target = self.shared.names.dead(&self.queue);
        self.move_to(&target, &self.past(Some(reason))).await
    }
}

/// What came before this delivery, and what it counts as.
pub(super) fn counts(past: &Past, properties: &lapin::BasicProperties, redelivered: bool) -> (u32, u32) {
    let earlier = wire::earlier(properties, redelivered);
    (past.failures, past.deliveries.saturating_add(earlier).saturating_add(1))
}
