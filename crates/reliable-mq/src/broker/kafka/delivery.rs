//! Deliveries of Kafka.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Shared, confirm::Parcel, member::Member, tracker::Leased, wire};
use crate::{
    Error,
    broker::{Delivery, Outcome, headers::Past},
    error::broker,
    ident,
    message::Envelope,
};

pub(super) struct KafkaDelivery {
    /// Before what is shared: the last of a member is dropped with that.
    pub(super) member: Arc<Member>,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: String,
    pub(super) leased: Leased,
}

impl KafkaDelivery {
    /// Puts a copy where it is to be found, and takes the delivery off. If this process dies between the two, both are there.
    async fn move_to(&self, parcel: Parcel<'_>) -> Result<(), Error> {
        let Leased { place, token, .. } = &self.leased;
        self.member.tracker().holds(place, *token)?;
        match self.shared.put(parcel).await {
            Outcome::Accepted => {}
            other => {
                self.member.tracker().release(place, *token)?;
                return Err(broker(format!("the message was not put back: {other:?}")));
            }
        }
        self.member.done(place, *token)
    }

    fn past(&self, reason: &str) -> Past {
        Past {
            failures: self.leased.failures.saturating_add(1),
            deliveries: self.leased.deliveries,
            reason: Some(reason.to_owned()),
        }
    }
}

impl fmt::Debug for KafkaDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaDelivery")
            .field("queue", &self.queue)
            .field("deliveries", &self.leased.deliveries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Delivery for KafkaDelivery {
    fn envelope(&self) -> &Envelope {
        &self.leased.envelope
    }

    fn failures(&self) -> u32 {
        self.leased.failures
    }

    /// Of this process, and of those that failed before. What a process that died has begun is not counted.
    fn deliveries(&self) -> u32 {
        self.leased.deliveries
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.member.done(&self.leased.place, self.leased.token)
    }

    async fn retry(self: Box<Self>, after: Duration, reason: &str) -> Result<(), Error> {
        let envelope = &*self.leased.envelope;
        let due = ident::wall_micros().saturating_add(ident::micros(after));
        self.move_to(Parcel {
            topic: &self.shared.names.retry(&self.queue),
            key: envelope.key(),
            headers: wire::write(envelope, &self.past(reason), Some(due)),
            payload: Some(envelope.payload()),
        })
        .await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.member.tracker().release(&self.leased.place, self.leased.token)?;
        self.shared.bells.ring_all();
        Ok(())
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error> {
        let envelope = &*self.leased.envelope;
        self.move_to(Parcel {
            topic: &self.shared.names.dead(&self.queue),
            key: Some(envelope.id.as_str()),
            headers: wire::write(envelope, &self.past(reason), None),
            payload: Some(envelope.payload()),
        })
        .await
    }
}
