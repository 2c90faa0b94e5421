//! Deliveries of Redis.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::Script;

use super::{
    Shared,
    scripts::{ACK, BACK, REJECT},
    wire::{self, Fields},
};
use crate::{
    Error,
    broker::{Delivery, reason},
    ident,
    message::Envelope,
};

/// Where a delivery stands: its queue, its entry in the stream and which delivery of it this is.
pub(super) struct Place {
    pub(super) queue: String,
    pub(super) entry: String,
    pub(super) delivery: u32,
}

impl Shared {
    /// Changes the entry, if the lease is still this delivery's. An answer that gets lost is an error: by then the entry may be
    /// another's, so the call is not repeated.
    async fn settle(&self, place: &Place, script: &Script, args: &[&[u8]]) -> Result<(), Error> {
        let delivery = place.delivery.to_string();
        let args = [&[place.entry.as_bytes(), delivery.as_bytes()], args].concat();
        match self.link.run(script, &self.names.queue(&place.queue), &args).await? {
            1 => Ok(()),
            _ => Err(Error::LeaseLost),
        }
    }

    /// Parks an entry that no handler can have, for a person to look at; it is counted, and not listed.
    pub(super) async fn park_unread(&self, place: &Place) {
        match self.settle(place, &REJECT, &[b"", b"not readable"]).await {
            Ok(()) => {
                tracing::warn!(queue = place.queue, entry = place.entry, "a message without a usable id was parked")
            }
            // It comes again when its lease ends.
            Err(error) => {
                tracing::warn!(queue = place.queue, entry = place.entry, %error, "an unreadable message stays")
            }
        }
    }
}

pub(super) struct RedisDelivery {
    shared: Arc<Shared>,
    place: Place,
    failures: u32,
    envelope: Envelope,
}

impl RedisDelivery {
    /// Reads what was given; an entry that cannot be read is handed back.
    pub(super) fn read(shared: &Arc<Shared>, place: Place, failures: u32, fields: Fields) -> Result<Self, Place> {
        match wire::read(fields) {
            Some(envelope) => Ok(Self { shared: Arc::clone(shared), place, failures, envelope }),
            None => Err(place),
        }
    }

    async fn put_back(&self, failed: &[u8], after: Duration, reason: &str) -> Result<(), Error> {
        let wait = ident::micros(after).to_string();
        self.shared
            .settle(&self.place, &BACK, &[failed, wait.as_bytes(), reason::shortened(reason).as_bytes()])
            .await?;
        self.shared.bells.ring_all();
        Ok(())
    }
}

impl fmt::Debug for RedisDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDelivery")
            .field("queue", &self.place.queue)
            .field("deliveries", &self.place.delivery)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Delivery for RedisDelivery {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn failures(&self) -> u32 {
        self.failures
    }

    fn deliveries(&self) -> u32 {
        self.place.delivery
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.shared.settle(&self.place, &ACK, &[]).await
    }

    async fn retry(self: Box<Self>, after: Duration, reason: &str) -> Result<(), Error> {
        self.put_back(b"1", after, reason).await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.put_back(b"0", Duration::ZERO, "").await
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error> {
        let reason = reason::shortened(reason);
        self.shared.settle(&self.place, &REJECT, &[self.envelope.id.as_str().as_bytes(), reason.as_bytes()]).await
    }
}
