//! NATS JetStream: a stream per queue, publish acknowledgements, one durable pull consumer.

mod api;
mod confirm;
mod delivery;
mod link;
mod names;
mod options;
mod parked;
mod pull;
mod topology;
mod wire;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::{sync::Notify, time::Instant};

pub use self::options::NatsOptions;
use self::{api::STREAM_NOT_FOUND, confirm::Parcel, delivery::Leases, link::Link, names::Names};
use super::{
    Broker, BrokerCapabilities, DeadDelivery, Delivery, Depth, Durability, Health, Outcome, Subscription,
    bells::Bells,
    headers::Past,
    window::{Windows, unknown},
};
use crate::{
    Error,
    message::{Envelope, MessageId},
};

/// Queues at a NATS server with JetStream.
///
/// It connects when it is first needed, and again with pauses after a connection is lost. A queue is a stream of its own: a
/// message goes into that of every queue that takes its topic, under its id, so a repeat is stored once. Deliveries are
/// fetched when asked for, so none waits in a process that is busy, and any process may settle what it has on whatever
/// connection it has by then.
///
/// ```no_run
/// # async fn example() -> Result<(), onceward_reliable_mq::Error> {
/// use onceward_reliable_mq::{Broker, NatsBroker, NatsOptions, Subscription};
///
/// let broker = NatsBroker::new("nats://localhost:4222", NatsOptions::default())?;
/// broker.subscribe(&Subscription::new("mailer").topic("orders.confirmed")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct NatsBroker {
    shared: Arc<Shared>,
}

struct Shared {
    options: NatsOptions,
    names: Names,
    link: Link,
    leases: Leases,
    bells: Bells,
}

impl NatsBroker {
    /// A broker at this address, `nats://user:password@host:port`, or `tls://` for TLS; several servers of one cluster with
    /// commas between them. Nothing is sent yet, so a service can start before its broker.
    ///
    /// # Errors
    /// [`Error::Broker`] if this is no such address; [`Error::Message`] if the prefix in the options is none.
    pub fn new(url: &str, options: NatsOptions) -> Result<Self, Error> {
        let shared = Shared {
            names: Names::new(&options.prefix)?,
            link: Link::new(url, options.timeout, options.reconnect)?,
            options,
            leases: Leases::default(),
            bells: Bells::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Removes a queue with everything that is in it, dead messages too.
    ///
    /// # Errors
    /// Whatever the broker reports.
    pub async fn remove(&self, queue: &str) -> Result<(), Error> {
        let Shared { names, link, .. } = &*self.shared;
        let live = link.live().await?;
        *live.receiver(queue).lock().await = false;
        // Its own stream first: nothing is to come in whose failures have no place to go.
        for stream in [names.queue(queue), names.tried(queue), names.dead(queue)] {
            match api::call(&live, &format!("STREAM.DELETE.{stream}"), &json!({})).await? {
                Err(refusal) if refusal.err_code != STREAM_NOT_FOUND => return Err(refusal.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Puts one message into a stream.
    async fn put(&self, parcel: Parcel) -> Outcome {
        let outcome = confirm::publish(&self.link, self.options.confirm_timeout, vec![parcel]).await.pop();
        outcome.unwrap_or_else(|| unknown("the broker gave no outcome"))
    }

    /// The streams that each topic of the batch goes into. Asked each time: a queue that another process has just bound must
    /// not miss what is published from now on.
    async fn routes<'a>(&self, batch: &'a [Envelope]) -> Result<HashMap<&'a str, Vec<String>>, Error> {
        let live = self.link.live().await?;
        let topics: BTreeSet<&str> = batch.iter().map(|envelope| envelope.topic()).collect();
        let ask = topics.into_iter().map(async |topic| {
            let streams = topology::bound(&live, &self.names, topic).await?;
            Ok::<_, Error>((topic, streams))
        });
        let routes = try_join_all(ask).await;
        if routes.is_err() {
            self.link.drop_live(&live).await;
        }
        Ok(routes?.into_iter().collect())
    }

    /// The copies of a message, one for each queue that takes its topic.
    fn parcels(&self, envelope: &Envelope, streams: &[String]) -> Vec<Parcel> {
        let subjects = streams.iter().filter_map(|stream| self.names.through(stream, envelope.topic()));
        let parcel = |subject| Parcel {
            subject,
            headers: wire::write(envelope, &Past::default(), Some(envelope.id.as_str())),
            payload: envelope.payload().clone(),
        };
        subjects.map(parcel).collect()
    }

    /// Publishes one window. A message is accepted if every queue has it; else what is worst is told, and the repeat is
    /// stored only where it is missing.
    async fn publish(&self, end: Instant, batch: &[Envelope]) -> Vec<Outcome> {
        let routes = match self.routes(batch).await {
            Ok(routes) => routes,
            Err(error) => return vec![unknown(error.to_string()); batch.len()],
        };
        let (mut parcels, mut counts) = (Vec::new(), Vec::with_capacity(batch.len()));
        for envelope in batch {
            let fits = envelope.payload().len() <= self.options.max_payload;
            let copies = routes.get(envelope.topic()).map(|streams| self.parcels(envelope, streams));
            let copies = copies.filter(|_| fits).unwrap_or_default();
            counts.push(fits.then_some(copies.len()));
            parcels.extend(copies);
        }
        let left = end.saturating_duration_since(Instant::now());
        let mut told = confirm::publish(&self.link, left, parcels).await.into_iter();
        let outcome = |count: Option<usize>| match count {
            None => {
                Outcome::Rejected { reason: "the payload is larger than the broker takes".to_owned(), permanent: true }
            }
            Some(0) => Outcome::Unroutable,
            Some(count) => told.by_ref().take(count).reduce(worse).unwrap_or(Outcome::Unroutable),
        };
        counts.into_iter().map(outcome).collect()
    }
}

/// What is told of a message that two queues answer differently about.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    let weight = |outcome: &Outcome| match outcome {
        Outcome::Accepted => 0,
        Outcome::Unroutable => 1,
        Outcome::Rejected { permanent: false, .. } => 2,
        Outcome::Rejected { .. } => 3,
        Outcome::Unknown { .. } => 4,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

impl fmt::Debug for NatsBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBroker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for NatsBroker {
    /// A server writes before it acknowledges, but syncs its files only every two minutes unless its `sync_interval` says
    /// otherwise: what it accepted survives its process. With replicas it is on several machines, each of which syncs as late.
    fn capabilities(&self) -> BrokerCapabilities {
        let replicated = self.shared.options.replicas > 1;
        BrokerCapabilities::new(if replicated { Durability::Replicated } else { Durability::Stored })
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let end = Instant::now() + self.shared.options.confirm_timeout;
        let mut windows = Windows::of(batch);
        while let Some(window) = windows.next() {
            windows.told(self.shared.publish(end, window).await);
        }
        self.shared.bells.ring_all();
        windows.outcomes()
    }

    async fn health(&self) -> Health {
        let live = match self.shared.link.live().await {
            Ok(live) => live,
            Err(error) => return Health::Down(error.to_string()),
        };
        match live.ask("$JS.API.INFO".to_owned(), Bytes::new()).await {
            Err(error) => {
                self.shared.link.drop_live(&live).await;
                Health::Down(error.to_string())
            }
            Ok(None) => Health::Blocked("jetstream is not enabled, or not ready".to_owned()),
            Ok(Some(answer)) => match serde_json::from_slice::<serde_json::Value>(&answer.payload) {
                Ok(answer) if answer["error"].is_null() => Health::Up,
                Ok(answer) => Health::Blocked(answer["error"]["description"].to_string()),
                Err(error) => Health::Down(error.to_string()),
            },
        }
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let Shared { options, names, link, .. } = &*self.shared;
        names.check(subscription.queue())?;
        let live = link.live().await?;
        topology::declare(&live, names, options, subscription).await
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        let Shared { names, link, .. } = &*self.shared;
        let streams = topology::bound(&*link.live().await?, names, topic).await?;
        Ok(streams.iter().any(|stream| names.through(stream, topic).is_some()))
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let deliveries = self.shared.fetch(queue, max).await?;
        Ok(deliveries.into_iter().map(|delivery| Box::new(delivery) as Box<dyn Delivery>).collect())
    }

    fn arrivals(&self, queue: &str) -> Arc<Notify> {
        self.shared.bells.of(queue)
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let Shared { names, link, leases, .. } = &*self.shared;
        let depth = topology::depth(&*link.live().await?, names, queue, leases.count(queue)).await?;
        depth.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }

    async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        self.shared.dead(queue, limit).await
    }

    async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let replayed = self.shared.replay(queue, id).await?;
        self.shared.bells.ring_all();
        Ok(replayed)
    }

    async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        self.shared.discard(queue, id).await
    }
}
