//! Messages that were given up: a topic with the last word about each, under its id.

use std::{collections::HashMap, time::Duration};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
    producer::Producer as _,
    types::RDKafkaErrorCode as Code,
};

use super::{
    Shared,
    config::{self, blocking},
    confirm::Parcel,
    wire::{self, Read},
};
use crate::{
    Error,
    broker::{DeadDelivery, Outcome, headers::Past},
    error::broker,
    ident,
    message::MessageId,
};

impl Shared {
    /// Those of a queue, the oldest first. It reads the topic through.
    pub(super) async fn parked(&self, queue: &str) -> Result<Vec<Read>, Error> {
        let topic = self.names.dead(queue);
        let parts = self.parts(&topic).await?;
        if parts.is_empty() {
            return Err(Error::UnknownQueue(queue.to_owned()));
        }
        let (config, timeout) = (config::reader(&self.common, &self.names.group(queue)?), self.options.timeout);
        let publisher = self.link.publisher()?;
        blocking("reading the dead", move || {
            let mut ends = Vec::new();
            for part in parts {
                let (low, high) = publisher.client().fetch_watermarks(&topic, part.number, timeout)?;
                ends.extend((low < high).then_some((part.number, high)));
            }
            if ends.is_empty() { Ok(Vec::new()) } else { read_through(&config, &topic, ends, timeout) }
        })
        .await
    }

    pub(super) async fn dead_of(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        let dead = self.parked(queue).await?.into_iter().take(limit);
        let told =
            |Read { envelope, past, .. }| DeadDelivery::new(envelope, past.failures, past.reason.unwrap_or_default());
        Ok(dead.map(told).collect())
    }

    /// Puts it where retries are, due at once. Dying before it is taken off the dead leaves it there as well; two replays at
    /// once are two deliveries. The inbox knows either.
    pub(super) async fn replay_of(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let parked = self.parked(queue).await?;
        let Some(Read { envelope, .. }) = parked.into_iter().find(|read| read.envelope.id == *id) else {
            return Ok(false);
        };
        let (retry, topic) = (self.names.retry(queue), self.names.dead(queue));
        let again = self.put(Parcel {
            topic: &retry,
            key: envelope.key(),
            headers: wire::write(&envelope, &Past::default(), Some(ident::wall_micros())),
            payload: Some(envelope.payload()),
        });
        accepted(again.await)?;
        let headers = wire::write(&envelope, &Past::default(), None);
        accepted(self.put(Parcel { topic: &topic, key: Some(id.as_str()), headers, payload: None }).await)?;
        Ok(true)
    }
}

fn accepted(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Accepted => Ok(()),
        other => Err(broker(format!("the message was not replayed: {other:?}"))),
    }
}

/// The last record of each key that is not one of its removal, up to where each partition ends.
fn read_through(
    config: &ClientConfig,
    topic: &str,
    mut ends: Vec<(i32, i64)>,
    timeout: Duration,
) -> KafkaResult<Vec<Read>> {
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    for (number, _) in &ends {
        from.add_partition_offset(topic, *number, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    let mut count = 0_u64;
    let mut last: HashMap<Vec<u8>, ((i64, u64), Read)> = HashMap::new();
    while !ends.is_empty() {
        match consumer.poll(timeout) {
            Some(Ok(record)) => {
                count += 1;
                let key = record.key().unwrap_or_default();
                let order = (record.timestamp().to_millis().unwrap_or(0), count);
                match record.payload() {
                    Some(_) => drop(last.insert(key.to_vec(), (order, wire::read(&record, topic)))),
                    None => drop(last.remove(key)),
                }
                ends.retain(|(number, end)| record.partition() != *number || record.offset() + 1 < *end);
            }
            // What is at its end may have been cleaned up meanwhile.
            Some(Err(KafkaError::PartitionEOF(number))) => ends.retain(|(of, _)| *of != number),
            Some(Err(error)) => return Err(error),
            None => return Err(KafkaError::MessageConsumption(Code::OperationTimedOut)),
        }
    }
    let mut all: Vec<((i64, u64), Read)> = last.into_values().collect();
    all.sort_by_key(|(order, _)| *order);
    Ok(all.into_iter().map(|(_, read)| read).collect())
}
