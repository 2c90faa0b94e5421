//! A broker in memory, for tests: what it accepted dies with the process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use super::{Broker, BrokerCapabilities, DeadDelivery, Delivery, Depth, Durability, Health, Outcome, Subscription};
use crate::{
    Error,
    message::{Envelope, MessageId},
};

/// A broker in memory. It declares itself [`Durability::Volatile`], so a relay takes it only when told to.
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    visibility: Duration,
}

#[derive(Default)]
struct State {
    last: u64,
    queues: HashMap<String, Queue>,
}

#[derive(Default)]
struct Queue {
    topics: BTreeSet<String>,
    items: BTreeMap<u64, Item>,
    dead: Vec<DeadDelivery>,
    arrivals: Arc<Notify>,
}

impl Queue {
    fn unbury(&mut self, id: &MessageId) -> Option<DeadDelivery> {
        let at = self.dead.iter().position(|dead| dead.envelope.id == *id)?;
        Some(self.dead.remove(at))
    }
}

struct Item {
    envelope: Envelope,
    ready: Instant,
    leased: bool,
    deliveries: u32,
    failures: u32,
}

impl Item {
    fn new(envelope: Envelope) -> Self {
        Self { envelope, ready: Instant::now(), leased: false, deliveries: 0, failures: 0 }
    }
}

impl MemoryBroker {
    /// An empty broker; a delivery that is not settled comes back after a minute.
    #[must_use]
    pub fn new() -> Self {
        Self::with_visibility(Duration::from_secs(60))
    }

    /// An empty broker; a delivery that is not settled comes back after `visibility`.
    #[must_use]
    pub fn with_visibility(visibility: Duration) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), visibility }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, name: &str) -> Result<&mut Queue, Error> {
        // One that has only a bell was not declared yet.
        let declared = self.queues.get_mut(name).filter(|queue| !queue.topics.is_empty());
        declared.ok_or_else(|| Error::UnknownQueue(name.to_owned()))
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(Durability::Volatile)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let mut state = self.state();
        let publish = |envelope: &Envelope| {
            state.last += 1;
            let number = state.last;
            let mut routed = false;
            for queue in state.queues.values_mut().filter(|queue| queue.topics.contains(envelope.topic())) {
                queue.items.insert(number, Item::new(envelope.clone()));
                queue.arrivals.notify_one();
                routed = true;
            }
            if routed { Outcome::Accepted } else { Outcome::Unroutable }
        };
        batch.iter().map(publish).collect()
    }

    async fn health(&self) -> Health {
        Health::Up
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let mut state = self.state();
        let queue = state.queues.entry(subscription.queue().to_owned()).or_default();
        queue.topics.extend(subscription.topics().iter().cloned());
        Ok(())
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        Ok(self.state().queues.values().any(|queue| queue.topics.contains(topic)))
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let now = Instant::now();
        let mut state = self.state();
        let ready = state.queue(queue)?.items.iter_mut().filter(|(_, item)| item.ready <= now).take(max);
        let deliveries = ready.map(|(&number, item)| {
            item.ready = now + self.shared.visibility;
            item.leased = true;
            item.deliveries += 1;
            let delivery = MemoryDelivery {
                shared: Arc::clone(&self.shared),
                queue: queue.to_owned(),
                number,
                envelope: item.envelope.clone(),
                deliveries: item.deliveries,
                failures: item.failures,
            };
            Box::new(delivery) as Box<dyn Delivery>
        });
        Ok(deliveries.collect())
    }

    fn arrivals(&self, queue: &str) -> Arc<Notify> {
        Arc::clone(&self.state().queues.entry(queue.to_owned()).or_default().arrivals)
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let now = Instant::now();
        let mut state = self.state();
        let queue = state.queue(queue)?;
        let mut depth = Depth { dead: queue.dead.len() as u64, ..Depth::default() };
        for item in queue.items.values() {
            match (item.ready <= now, item.leased) {
                (true, _) => depth.ready += 1,
                (false, true) => depth.leased += 1,
                (false, false) => depth.delayed += 1,
            }
        }
        Ok(depth)
    }

    async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        Ok(self.state().queue(queue)?.dead.iter().take(limit).cloned().collect())
    }

    async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        let queue = state.queue(queue)?;
        let Some(dead) = queue.unbury(id) else { return Ok(false) };
        queue.items.insert(number, Item::new(dead.envelope));
        queue.arrivals.notify_one();
        Ok(true)
    }

    async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        Ok(self.state().queue(queue)?.unbury(id).is_some())
    }
}

struct MemoryDelivery {
    shared: Arc<Shared>,
    queue: String,
    number: u64,
    envelope: Envelope,
    deliveries: u32,
    failures: u32,
}

impl MemoryDelivery {
    /// Changes the item, if the lease is still this delivery's.
    fn settle(&self, change: impl FnOnce(&mut Queue, Item)) -> Result<(), Error> {
        let mut state = self.shared.state();
        let queue = state.queue(&self.queue)?;
        let mine = queue.items.get(&self.number).is_some_and(|item| item.deliveries == self.deliveries);
        let item = if mine { queue.items.remove(&self.number) } else { None };
        change(queue, item.ok_or(Error::LeaseLost)?);
        Ok(())
    }

    fn put_back(&self, after: Duration, failures: u32) -> Result<(), Error> {
        self.settle(|queue, item| {
            let ready = Instant::now() + after;
            queue.items.insert(self.number, Item { ready, leased: false, failures, ..item });
            queue.arrivals.notify_one();
        })
    }
}

impl fmt::Debug for MemoryDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDelivery")
            .field("queue", &self.queue)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Delivery for MemoryDelivery {
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
        self.settle(|_, _| {})
    }

    async fn retry(self: Box<Self>, after: Duration, _reason: &str) -> Result<(), Error> {
        self.put_back(after, self.failures + 1)
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.put_back(Duration::ZERO, self.failures)
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error> {
        self.settle(|queue, item| {
            queue.dead.push(DeadDelivery::new(item.envelope, item.failures + 1, reason.to_owned()));
        })
    }
}
