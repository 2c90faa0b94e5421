//! Messages that were given up: a topic with the last word about each, under its id.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
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
    message::{Envelope, MessageId},
};

impl Shared {
    /// How many of a queue there are.
    pub(super) async fn count_dead(&self, queue: &str) -> Result<u64, Error> {
        Ok(self.parked(queue, |parked| parked.last_words(|_| true)).await?.len() as u64)
    }

    pub(super) async fn dead_of(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        let oldest = move |parked: &Parked| {
            let mut places = parked.last_words(|_| true)?;
            places.truncate(limit);
            parked.read(&places)
        };
        let told =
            |Read { envelope, past, .. }| DeadDelivery::new(envelope, past.failures, past.reason.unwrap_or_default());
        Ok(self.parked(queue, oldest).await?.into_iter().map(told).collect())
    }

    /// Puts it where retries are, due at once. Dying before it is taken off the dead leaves it there as well; two replays at
    /// once are two deliveries. The inbox knows either.
    pub(super) async fn replay_of(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let Some(envelope) = self.buried(queue, id).await? else { return Ok(false) };
        let retry = self.names.retry(queue);
        let again = self.put(Parcel {
            topic: &retry,
            key: envelope.key(),
            headers: wire::write(&envelope, &Past::default(), Some(ident::wall_micros())),
            payload: Some(envelope.payload()),
        });
        accepted(again.await)?;
        self.unbury(queue, &envelope).await
    }

    pub(super) async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        match self.buried(queue, id).await? {
            Some(envelope) => self.unbury(queue, &envelope).await,
            None => Ok(false),
        }
    }

    async fn buried(&self, queue: &str, id: &MessageId) -> Result<Option<Envelope>, Error> {
        let key = id.as_str().to_owned();
        let its = move |parked: &Parked| parked.read(&parked.last_words(|of| of == key.as_bytes())?);
        Ok(self.parked(queue, its).await?.pop().map(|read| read.envelope))
    }

    /// The last word about a message: that it is no more.
    async fn unbury(&self, queue: &str, envelope: &Envelope) -> Result<bool, Error> {
        let (topic, headers) = (self.names.dead(queue), wire::write(envelope, &Past::default(), None));
        let removal = Parcel { topic: &topic, key: Some(envelope.id.as_str()), headers, payload: None };
        accepted(self.put(removal).await)?;
        Ok(true)
    }

    /// Looks into the topic of what was given up.
    async fn parked<T: Send + 'static>(
        &self,
        queue: &str,
        look: impl FnOnce(&Parked) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, Error> {
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
            look(&Parked { config, topic, ends, timeout })
        })
        .await
    }
}

fn accepted(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Accepted => Ok(()),
        other => Err(broker(format!("the cluster did not take it: {other:?}"))),
    }
}

/// The topic as it is now.
struct Parked {
    config: ClientConfig,
    topic: String,
    /// Where each partition ends that has something.
    ends: Vec<(i32, i64)>,
    timeout: Duration,
}

/// Of a record: partition and offset.
type Place = (i32, i64);

impl Parked {
    /// Where the last word about each of these keys stands that is not one of its removal, the oldest first. The topic is read
    /// through for it, and no message kept.
    fn last_words(&self, wanted: impl Fn(&[u8]) -> bool) -> KafkaResult<Vec<Place>> {
        let mut count = 0_u64;
        let mut last: HashMap<Vec<u8>, ((i64, u64), Place)> = HashMap::new();
        self.each(|record| {
            count += 1;
            let key = record.key().unwrap_or_default();
            if !wanted(key) {
                return;
            }
            let order = (record.timestamp().to_millis().unwrap_or(0), count);
            match record.payload() {
                Some(_) => drop(last.insert(key.to_vec(), (order, (record.partition(), record.offset())))),
                None => drop(last.remove(key)),
            }
        })?;
        let mut all: Vec<_> = last.into_values().collect();
        all.sort_unstable();
        Ok(all.into_iter().map(|(_, place)| place).collect())
    }

    /// What stands there, in this order.
    fn read(&self, places: &[Place]) -> KafkaResult<Vec<Read>> {
        let at: HashMap<&Place, usize> = places.iter().zip(0..).collect();
        let mut found: BTreeMap<usize, Read> = BTreeMap::new();
        if !at.is_empty() {
            self.each(|record| {
                if let Some(at) = at.get(&(record.partition(), record.offset())) {
                    found.insert(*at, wire::read(record, &self.topic));
                }
            })?;
        }
        Ok(found.into_values().collect())
    }

    fn each(&self, mut look: impl FnMut(&BorrowedMessage<'_>)) -> KafkaResult<()> {
        let mut ends = self.ends.clone();
        if ends.is_empty() {
            return Ok(());
        }
        let consumer: BaseConsumer = self.config.create()?;
        let mut from = TopicPartitionList::new();
        for (number, _) in &ends {
            from.add_partition_offset(&self.topic, *number, Offset::Beginning)?;
        }
        consumer.assign(&from)?;
        while !ends.is_empty() {
            match consumer.poll(self.timeout) {
                Some(Ok(record)) => {
                    look(&record);
                    ends.retain(|(number, end)| record.partition() != *number || record.offset() + 1 < *end);
                }
                // What is at its end may have been cleaned up meanwhile.
                Some(Err(KafkaError::PartitionEOF(number))) => ends.retain(|(of, _)| *of != number),
                Some(Err(error)) => return Err(error),
                None => return Err(KafkaError::MessageConsumption(Code::OperationTimedOut)),
            }
        }
        Ok(())
    }
}
