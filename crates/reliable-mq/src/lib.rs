#![doc = include_str!("../README.md")]

pub mod broker;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "sql")]
mod consumer;
mod error;
mod ident;
#[cfg(feature = "sql")]
mod inbox;
pub mod message;
#[cfg(feature = "sql")]
mod outbox;
mod relay;
pub mod store;
#[cfg(feature = "conformance")]
pub mod testing;
#[cfg(feature = "sql")]
mod tx;

pub use async_trait::async_trait;

pub use broker::{
    Broker, BrokerCapabilities, DeadDelivery, Delivery, Depth, Durability, Health, MemoryBroker, Outcome, Subscription,
};
#[cfg(feature = "kafka")]
pub use broker::{KafkaBroker, KafkaOptions, KafkaTopics};
#[cfg(feature = "nats")]
pub use broker::{NatsBroker, NatsOptions};
#[cfg(feature = "rabbitmq")]
pub use broker::{RabbitMqBroker, RabbitMqOptions};
#[cfg(feature = "redis")]
pub use broker::{RedisBroker, RedisOptions};
#[cfg(feature = "sqlite")]
pub use broker::{SqliteBroker, SqliteBrokerOptions};
#[cfg(feature = "sql")]
pub use consumer::{Consumed, Consumer, ConsumerOptions, HandlerError, Router};
pub use error::Error;
#[cfg(feature = "sql")]
pub use inbox::{Forgotten, Inbox};
pub use message::{Draft, Envelope, Message, MessageError, MessageId, Origin, Replay, TraceContext};
#[cfg(feature = "sql")]
pub use outbox::Outbox;
pub use relay::{Order, Relay, RelayOptions, Step};
#[cfg(feature = "sql")]
pub use store::SqlStore;
#[cfg(feature = "sql")]
pub use store::schema;
pub use store::{
    Attempt, BatchRow, Counts, DeadLetter, History, LaneInfo, LogRow, MemoryStore, MessageFilter, MessageInfo,
    PausedTopic, RelayInfo, Status, Store, TopicInfo,
};
#[cfg(feature = "sql")]
pub use tx::Tx;
