//! Brokers: who carries messages from the relay to consumers.

#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq", feature = "redis", feature = "sqlite"))]
mod bells;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq"))]
mod headers;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(feature = "nats", feature = "rabbitmq", feature = "redis"))]
mod kept;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq", feature = "redis", feature = "sqlite"))]
mod origin;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq", feature = "redis"))]
mod reason;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq", feature = "redis"))]
mod window;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Notify;

#[cfg(feature = "kafka")]
pub use self::kafka::{KafkaBroker, KafkaOptions, KafkaTopics};
pub use self::memory::MemoryBroker;
#[cfg(feature = "nats")]
pub use self::nats::{NatsBroker, NatsOptions};
#[cfg(feature = "rabbitmq")]
pub use self::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
#[cfg(feature = "redis")]
pub use self::redis::{RedisBroker, RedisOptions};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteBroker, SqliteBrokerOptions};
use crate::{
    Error,
    message::{Envelope, MAX_NAME, MessageError, MessageId, check_name},
};

/// What becomes of a message that a broker accepted, when things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Lost with the broker's process.
    Volatile,
    /// Survives the end of the broker's process, not necessarily a power failure.
    Stored,
    /// Survives a power failure of one machine.
    Fsynced,
    /// On several machines.
    Replicated,
}

/// What a broker can do; the conformance suite is driven by it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerCapabilities {
    /// What acceptance means.
    pub durability: Durability,
    /// Dead deliveries can be listed, replayed and discarded.
    pub dead_letters: bool,
    /// Deliveries that were not settled come back without a restart of the broker.
    pub redelivers: bool,
}

impl BrokerCapabilities {
    /// A broker that keeps and lists dead deliveries and redelivers after a while.
    #[must_use]
    pub fn new(durability: Durability) -> Self {
        Self { durability, dead_letters: true, redelivers: true }
    }
}

/// What became of one published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has it, as lastingly as [`Durability`] says.
    Accepted,
    /// No queue takes its topic; the broker has dropped it.
    Unroutable,
    /// The broker refused it.
    Rejected {
        /// Why.
        reason: String,
        /// Whether every repeat would be refused as well: too large, not allowed.
        permanent: bool,
    },
    /// No answer. The broker may or may not have it.
    Unknown {
        /// What was seen instead of an answer.
        reason: String,
    },
}

/// How a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes messages.
    Up,
    /// It is reachable and takes none for the moment.
    Blocked(String),
    /// It cannot be reached.
    Down(String),
}

/// A named queue and the topics that flow into it. Consumers of one queue share its messages; each queue gets them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    queue: String,
    topics: Vec<String>,
}

impl Subscription {
    /// A queue of this name. It is also the consumer's name in the inbox: two services never share one.
    pub fn new(queue: impl Into<String>) -> Self {
        Self { queue: queue.into(), topics: Vec::new() }
    }

    /// Binds one more topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The topics.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Checks the names against the limits of this crate; brokers call it in [`Broker::subscribe`].
    ///
    /// # Errors
    /// [`MessageError::Name`]; [`MessageError::NoTopic`].
    pub fn check(&self) -> Result<(), MessageError> {
        check_name("the queue name", &self.queue, MAX_NAME)?;
        if self.topics.is_empty() {
            return Err(MessageError::NoTopic);
        }
        self.topics.iter().try_for_each(|topic| check_name("the topic", topic, MAX_NAME))
    }
}

/// How many deliveries a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depth {
    /// Waiting for a consumer.
    pub ready: u64,
    /// Waiting for the time of their retry.
    pub delayed: u64,
    /// With a consumer.
    pub leased: u64,
    /// Given up.
    pub dead: u64,
}

impl Depth {
    /// Counts for a queue.
    #[must_use]
    pub fn new(ready: u64, delayed: u64, leased: u64, dead: u64) -> Self {
        Self { ready, delayed, leased, dead }
    }

    /// What is still to be handled: everything but the dead.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.ready + self.delayed + self.leased
    }
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadDelivery {
    /// The message.
    pub envelope: Envelope,
    /// How often its handler failed.
    pub failures: u32,
    /// The last reason.
    pub reason: String,
}

impl DeadDelivery {
    /// Describes a delivery that was given up.
    #[must_use]
    pub fn new(envelope: Envelope, failures: u32, reason: String) -> Self {
        Self { envelope, failures, reason }
    }
}

/// One delivery to one consumer. It is settled once; dropped unsettled, it comes back when its lease ends.
#[async_trait]
pub trait Delivery: Debug + Send + Sync + 'static {
    /// The message.
    fn envelope(&self) -> &Envelope;

    /// How many handlers failed on it before.
    fn failures(&self) -> u32;

    /// How often it was delivered, this time included. It exceeds `failures() + 1` when consumers died with it.
    fn deliveries(&self) -> u32;

    /// Takes the message off the queue.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the lease ended and the message was delivered again.
    async fn ack(self: Box<Self>) -> Result<(), Error>;

    /// Puts it back, to be delivered after `after`, with one failure more.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    async fn retry(self: Box<Self>, after: Duration, reason: &str) -> Result<(), Error>;

    /// Puts it back as it was, at once: the consumer could not even try.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    async fn release(self: Box<Self>) -> Result<(), Error>;

    /// Parks it among the dead of its queue.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error>;
}

/// Who carries the messages. The contract is what the conformance suite runs.
#[async_trait]
pub trait Broker: Debug + Send + Sync + 'static {
    /// What this broker can do.
    fn capabilities(&self) -> BrokerCapabilities;

    /// Publishes the messages in order and answers one outcome for each, in the same order. A message that was handed over
    /// without an answer is [`Outcome::Unknown`], never an error of the whole call; so is every message of a broker that
    /// cannot be reached.
    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome>;

    /// How the broker is. The relay asks when answers are missing: what a broker that is not up leaves unanswered spends
    /// no attempts.
    async fn health(&self) -> Health;

    /// Declares the queue and binds its topics; harmless when repeated. A topic without any queue is unroutable.
    ///
    /// # Errors
    /// [`Error::Message`] for a bad name; whatever the broker reports.
    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error>;

    /// Whether at least one queue takes this topic.
    ///
    /// # Errors
    /// Whatever the broker reports.
    async fn routes(&self, topic: &str) -> Result<bool, Error>;

    /// Takes up to `max` deliveries off the head of the queue under a lease; never waits for more.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`]; whatever the broker reports.
    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error>;

    /// Rings when something may have arrived in the queue from within this process. Without it consumers poll.
    fn arrivals(&self, _queue: &str) -> Arc<Notify> {
        Arc::new(Notify::new())
    }

    /// How full the queue is.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`]; [`Error::Unsupported`]; whatever the broker reports.
    async fn depth(&self, _queue: &str) -> Result<Depth, Error> {
        Err(Error::Unsupported("the depth of a queue"))
    }

    /// The oldest dead deliveries of the queue.
    ///
    /// # Errors
    /// As [`depth`](Self::depth).
    async fn dead(&self, _queue: &str, _limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        Err(Error::Unsupported("the list of dead deliveries"))
    }

    /// Puts a dead delivery back into its queue with a fresh budget; `false` if there is none of this id.
    ///
    /// # Errors
    /// As [`depth`](Self::depth).
    async fn replay(&self, _queue: &str, _id: &MessageId) -> Result<bool, Error> {
        Err(Error::Unsupported("the replay of dead deliveries"))
    }

    /// Deletes a dead delivery for good; `false` if there is none of this id.
    ///
    /// # Errors
    /// As [`depth`](Self::depth).
    async fn discard(&self, _queue: &str, _id: &MessageId) -> Result<bool, Error> {
        Err(Error::Unsupported("the deletion of dead deliveries"))
    }
}
