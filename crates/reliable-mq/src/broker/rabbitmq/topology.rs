//! Names and declarations of exchange and queues.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use crate::message::{MessageError, check_name};

/// Names at the broker. No name of a message or queue has a space in it, so what follows one is ours alone.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) exchange: String,
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str, exchange: &str) -> Result<Self, MessageError> {
        if !prefix.is_empty() {
            check_name("the prefix", prefix, LONGEST_PREFIX)?;
        }
        check_name("the exchange", exchange, crate::message::MAX_NAME)?;
        Ok(Self { exchange: format!("{prefix}{exchange}"), prefix: prefix.to_owned() })
    }

    pub(super) fn queue(&self, queue: &str) -> String {
        format!("{}{queue}", self.prefix)
    }

    pub(super) fn dead(&self, queue: &str) -> String {
        format!("{}{queue} dead", self.prefix)
    }

    pub(super) fn waiting(&self, queue: &str, pause: Duration) -> String {
        format!("{}{queue} retry {}ms", self.prefix, pause.as_millis())
    }
}

const LONGEST_PREFIX: usize = 32;

/// The pauses that there are waiting rooms for: doubling from 64 ms to about 18 hours. One queue per pause, because a queue
/// lets messages go from its head only: a long pause would hold up the short ones behind it.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    (0..=20).map(|doubled| Duration::from_millis(64 << doubled))
}

/// The shortest pause that is not shorter; the longest for what is longer than all.
pub(super) fn pause(after: Duration) -> Duration {
    pauses().find(|pause| *pause >= after).unwrap_or(Duration::from_millis(64 << 20))
}

pub(super) async fn exchange(channel: &Channel, name: &str) -> Result<(), lapin::Error> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default()).await
}

/// A durable queue of messages that wait for a consumer or a person.
pub(super) async fn queue(channel: &Channel, name: &str, quorum: bool) -> Result<(), lapin::Error> {
    declare(channel, name, kind(quorum)).await
}

/// A durable queue whose messages go on to `target` after `pause`.
pub(super) async fn waiting(
    channel: &Channel,
    name: &str,
    target: &str,
    pause: Duration,
    quorum: bool,
) -> Result<(), lapin::Error> {
    let mut arguments = kind(quorum);
    let millis = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(target.into()));
    if quorum {
        // Else a message is forgotten here before it is safe there.
        arguments.insert("x-dead-letter-strategy".into(), AMQPValue::LongString("at-least-once".into()));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    }
    declare(channel, name, arguments).await
}

async fn declare(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments).await.map(|_| ())
}

fn kind(quorum: bool) -> FieldTable {
    let mut arguments = FieldTable::default();
    if quorum {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        // RabbitMQ 4 drops a message after 20 returns unless told otherwise; who gives up here is the consumer.
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(1_000_000));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_never_shortened_and_at_most_doubled() {
        for millis in [1, 63, 64, 65, 1000, 60_000, 3_600_000] {
            let after = Duration::from_millis(millis);
            assert!(pause(after) >= after);
            assert!(pause(after) <= (after * 2).max(Duration::from_millis(64)), "{after:?}");
        }
        assert_eq!(Some(pause(Duration::MAX)), pauses().last());
    }

    #[test]
    fn names_fit_and_cannot_meet() {
        let (longest, prefix) = ("q".repeat(crate::message::MAX_NAME), "p".repeat(LONGEST_PREFIX));
        let names = Names::new(&prefix, "onceward").unwrap();
        assert!(pauses().all(|pause| names.waiting(&longest, pause).len() <= 255));
        assert_ne!(names.dead("a"), names.queue("a-dead"));
        assert!(Names::new("a b", "onceward").is_err());
        assert!(Names::new("", "").is_err());
    }
}
