//! Deliveries of NATS, and who has them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::{Shared, api, confirm::Parcel, pull::Place, wire};
use crate::{
    Error,
    broker::{Delivery, Outcome, headers::Past},
    message::Envelope,
};

/// The deliveries that this process has in hand. The server takes an acknowledgement whenever it comes, even for a message
/// that somebody else has by now; so it is here that a delivery ends with its lease.
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
    until: Instant,
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.open.retain(|_, lease| now < lease.until);
        state
    }

    pub(super) fn add(&self, queue: &str, until: Instant) -> u64 {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.open.insert(number, Lease { queue: queue.to_owned(), until });
        number
    }

    pub(super) fn count(&self, queue: &str) -> u64 {
        self.state().open.values().filter(|lease| lease.queue == queue).count() as u64
    }

    fn holds(&self, number: u64) -> Result<(), Error> {
        self.state().open.contains_key(&number).then_some(()).ok_or(Error::LeaseLost)
    }

    fn take(&self, number: u64) -> Result<(), Error> {
        self.state().open.remove(&number).map(|_| ()).ok_or(Error::LeaseLost)
    }
}

pub(super) struct NatsDelivery {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: String,
    pub(super) place: Place,
    pub(super) lease: u64,
    pub(super) envelope: Envelope,
    pub(super) failures: u32,
}

impl NatsDelivery {
    /// Tells the server what becomes of it, and waits until it knows.
    pub(super) async fn tell(&self, what: Bytes) -> Result<(), Error> {
        self.shared.leases.take(self.lease)?;
        let live = self.shared.link.live().await?;
        live.ask(self.place.acknowledge.clone(), what).await?.map(|_| ()).ok_or(Error::LeaseLost)
    }

    /// Takes the message off its queue, once it is kept elsewhere or done with.
    async fn settle(&self) -> Result<(), Error> {
        self.tell(Bytes::from_static(b"+ACK")).await?;
        if self.failures > 0 {
            let stream = self.shared.names.tried(&self.queue);
            let subject = self.shared.names.tried_at(&self.queue, self.place.sequence);
            // What stays is never asked for again, and goes by its age.
            let purge = async {
                let live = self.shared.link.live().await?;
                api::call(&live, &format!("STREAM.PURGE.{stream}"), &json!({ "filter": subject })).await
            };
            if let Err(error) = purge.await {
                tracing::debug!(queue = self.queue, %error, "the count of failures stays for a while");
            }
        }
        Ok(())
    }

    /// First there, then not here: a crash between leaves both, never none.
    async fn put(&self, parcel: Parcel) -> Result<(), Error> {
        self.shared.leases.holds(self.lease)?;
        match self.shared.put(parcel).await {
            Outcome::Accepted => Ok(()),
            outcome => {
                self.tell(Bytes::from_static(b"-NAK")).await?;
                Err(Error::Broker(format!("the message was not put back: {outcome:?}").into()))
            }
        }
    }
}

impl fmt::Debug for NatsDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDelivery")
            .field("queue", &self.queue)
            .field("deliveries", &self.place.deliveries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Delivery for NatsDelivery {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn failures(&self) -> u32 {
        self.failures
    }

    fn deliveries(&self) -> u32 {
        self.place.deliveries
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.settle().await
    }

    async fn retry(self: Box<Self>, after: Duration, _reason: &str) -> Result<(), Error> {
        let failures = self.failures.saturating_add(1);
        self.put(Parcel {
            subject: self.shared.names.tried_at(&self.queue, self.place.sequence),
            headers: async_nats::HeaderMap::new(),
            payload: failures.to_string().into(),
        })
        .await?;
        if after.is_zero() {
            self.tell(Bytes::from_static(b"-NAK")).await?;
            self.shared.bells.ring_all();
            return Ok(());
        }
        // The server's own clock is in these; a century is enough.
        let nanos = after.as_nanos().min(100 * 365 * 24 * 3600 * 1_000_000_000);
        self.tell(format!("-NAK {{\"delay\": {nanos}}}").into()).await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.tell(Bytes::from_static(b"-NAK")).await?;
        self.shared.bells.ring_all();
        Ok(())
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error> {
        let past = Past {
            failures: self.failures.saturating_add(1),
            deliveries: self.place.deliveries,
            reason: Some(reason.to_owned()),
        };
        self.put(Parcel {
            subject: self.shared.names.dead_at(&self.queue, Some(&self.envelope.id), self.place.sequence),
            headers: wire::write(&self.envelope, &past, None),
            payload: self.envelope.payload().clone(),
        })
        .await?;
        self.settle().await
    }
}
