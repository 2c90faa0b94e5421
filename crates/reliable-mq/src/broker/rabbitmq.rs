//! RabbitMQ: durable queues, persistent messages, publisher confirms.

mod confirm;
mod delivery;
mod link;
mod options;
mod parked;
mod topology;
mod wire;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::{
    Channel, ErrorKind,
    options::{
        BasicAckOptions, BasicGetOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
    uri::AMQPUri,
};
use tokio::{sync::Notify, time::Instant};

pub use self::options::RabbitMqOptions;
use self::{
    confirm::Parcel,
    delivery::{Leases, REQUEUE, RabbitMqDelivery, counts},
    link::{Link, broker, within},
    topology::Names,
};
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

/// Queues at a RabbitMQ server.
///
/// It connects when it is first needed, one connection for publishing and one for consuming, and again with pauses after a
/// connection is lost. Deliveries are fetched one by one when asked for, so none waits in a process that is busy.
#[derive(Clone)]
pub struct RabbitMqBroker {
    shared: Arc<Shared>,
}

struct Shared {
    options: RabbitMqOptions,
    names: Names,
    /// A broker that is short of memory or disk stops reading from connections that publish: acknowledgements must not
    /// wait there.
    publishing: Link,
    consuming: Link,
    leases: Leases,
    bells: Bells,
}

impl RabbitMqBroker {
    /// A broker at this address, `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Nothing is sent yet, so a
    /// service can start before its broker.
    ///
    /// # Errors
    /// [`Error::Broker`] if this is no such address; [`Error::Message`] if a name in the options is none.
    pub fn new(url: &str, options: RabbitMqOptions) -> Result<Self, Error> {
        // The parser's own message might quote the password.
        let uri = AMQPUri::from_str(url).map_err(|_| broker("this is not an amqp url"))?;
        let names = Names::new(&options.prefix, &options.exchange)?;
        let link = || Link::new(uri.clone(), options.timeout, options.reconnect, names.exchange.clone());
        let shared = Shared {
            publishing: link(),
            consuming: link(),
            names,
            options,
            leases: Leases::default(),
            bells: Bells::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Removes a queue with everything that is in it, waiting and dead messages too; and the exchange once no queue is bound
    /// to it.
    ///
    /// # Errors
    /// Whatever the broker reports.
    pub async fn remove(&self, queue: &str) -> Result<(), Error> {
        let Shared { options, names, consuming, .. } = &*self.shared;
        let (_live, channel) = consuming.channel().await?;
        let waiting = topology::pauses().map(|pause| names.waiting(queue, pause));
        for name in [names.queue(queue), names.dead(queue)].into_iter().chain(waiting) {
            let delete = channel.queue_delete(name.into(), QueueDeleteOptions::default());
            within(options.timeout, delete).await?;
        }
        let unused = ExchangeDeleteOptions { if_unused: true, ..ExchangeDeleteOptions::default() };
        match within(options.timeout, channel.exchange_delete(names.exchange.as_str().into(), unused)).await {
            Err(error) if !is_answer(&error, PRECONDITION_FAILED) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Puts one message into a queue, past the exchange.
    async fn put(&self, queue: &str, envelope: &Envelope, past: &Past) -> Outcome {
        let properties = wire::write(envelope, past);
        let (id, payload) = (envelope.id.as_str(), envelope.payload());
        let parcel = Parcel { id, exchange: "", routing_key: queue, properties, payload };
        let outcome = confirm::publish(&self.publishing, self.options.confirm_timeout, vec![parcel]).await.pop();
        outcome.unwrap_or_else(|| unknown("the broker gave no outcome"))
    }

    /// The queue in which a message of `queue` waits for so long; the queue itself if it need not wait.
    async fn waiting_room(&self, queue: &str, after: Duration) -> Result<String, Error> {
        let target = self.names.queue(queue);
        if after.is_zero() {
            return Ok(target);
        }
        let pause = topology::pause(after);
        let room = self.names.waiting(queue, pause);
        // Declared every time: it may have been deleted, and a retry is no hot path.
        let (_live, channel) = self.consuming.channel().await?;
        let declare = topology::waiting(&channel, &room, &target, pause, self.options.quorum);
        within(self.options.timeout, declare).await?;
        Ok(room)
    }

    /// How many messages wait in a queue; `None` if there is no such queue.
    async fn count(&self, name: &str) -> Result<Option<u64>, Error> {
        let (_live, channel) = self.consuming.channel().await?;
        match self.count_on(&channel, name).await {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn count_on(&self, channel: &Channel, name: &str) -> Result<u64, Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = channel.queue_declare(name.into(), passive, FieldTable::default());
        Ok(u64::from(within(self.options.timeout, declare).await?.message_count()))
    }

    async fn known(&self, queue: &str) -> Result<u64, Error> {
        let ready = self.count(&self.names.queue(queue)).await?;
        ready.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }

    /// Waiting rooms exist from their first retry on; other processes may have made some.
    async fn delayed(&self, queue: &str) -> Result<u64, Error> {
        let mut delayed = 0;
        for pause in topology::pauses() {
            let room = self.names.waiting(queue, pause);
            delayed += self.count(&room).await?.unwrap_or(0);
        }
        Ok(delayed)
    }

    async fn fetch(
        self: &Arc<Self>,
        channel: &Channel,
        queue: &str,
        max: usize,
    ) -> Result<Vec<RabbitMqDelivery>, Error> {
        for acker in self.leases.expired(queue) {
            // If its channel is gone, so is the reason to give it back.
            let _ = within(self.options.timeout, acker.nack(REQUEUE)).await;
        }
        let name = self.names.queue(queue);
        let mut deliveries = Vec::new();
        while deliveries.len() < max {
            let get = channel.basic_get(name.as_str().into(), BasicGetOptions::default());
            let Some(got) = within(self.options.timeout, get).await? else { break };
            let got = got.delivery;
            if wire::is_probe(&got.properties) {
                within(self.options.timeout, got.acker.ack(BasicAckOptions::default())).await?;
                continue;
            }
            let Some((envelope, past)) = wire::read(&got.properties, got.routing_key.as_str(), got.data.clone()) else {
                self.park_raw(queue, &got).await?;
                continue;
            };
            let (failures, deliveries_so_far) = counts(&past, &got.properties, got.redelivered);
            let lease = self.leases.add(queue, got.acker.clone(), self.options.visibility);
            deliveries.push(RabbitMqDelivery {
                shared: Arc::clone(self),
                queue: queue.to_owned(),
                lease,
                envelope,
                failures,
                deliveries: deliveries_so_far,
            });
        }
        Ok(deliveries)
    }
}

fn is_missing(error: &Error) -> bool {
    is_answer(error, NOT_FOUND)
}

fn is_answer(error: &Error, code: u16) -> bool {
    let Error::Broker(cause) = error else { return false };
    let kind = cause.downcast_ref::<lapin::Error>().map(lapin::Error::kind);
    matches!(kind, Some(ErrorKind::ProtocolError(error)) if error.get_id() == code)
}

const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

impl fmt::Debug for RabbitMqBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqBroker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RabbitMqBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(Durability::Fsynced)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let Shared { options, names, publishing, .. } = &*self.shared;
        let end = Instant::now() + options.confirm_timeout;
        let mut windows = Windows::of(batch);
        while let Some(window) = windows.next() {
            let fits = |envelope: &&Envelope| envelope.payload().len() <= options.max_payload;
            let parcels: Vec<Parcel<'_>> = window
                .iter()
                .filter(fits)
                .map(|envelope| Parcel {
                    id: envelope.id.as_str(),
                    exchange: &names.exchange,
                    routing_key: envelope.topic(),
                    properties: wire::write(envelope, &Past::default()),
                    payload: envelope.payload(),
                })
                .collect();
            let left = end.saturating_duration_since(Instant::now());
            let mut sent = confirm::publish(publishing, left, parcels).await.into_iter();
            let outcome = |envelope: &Envelope| {
                if fits(&envelope) {
                    sent.next().unwrap_or_else(|| unknown("the broker gave no outcome"))
                } else {
                    Outcome::Rejected {
                        reason: "the payload is larger than the broker takes".to_owned(),
                        permanent: true,
                    }
                }
            };
            windows.told(window.iter().map(outcome).collect());
        }
        self.shared.bells.ring_all();
        windows.outcomes()
    }

    async fn health(&self) -> Health {
        let (live, channel) = match self.shared.publishing.channel().await {
            Ok(open) => open,
            Err(error) => return Health::Down(error.to_string()),
        };
        drop(channel);
        if live.connection.status().blocked() {
            return Health::Blocked("the broker is short of memory or disk".to_owned());
        }
        Health::Up
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let Shared { options, names, consuming, .. } = &*self.shared;
        let (_live, channel) = consuming.channel().await?;
        let queue = names.queue(subscription.queue());
        let declare = async {
            topology::exchange(&channel, &names.exchange).await?;
            topology::queue(&channel, &queue, options.quorum).await?;
            topology::queue(&channel, &names.dead(subscription.queue()), options.quorum).await?;
            for topic in subscription.topics() {
                let (queue, exchange) = (queue.as_str().into(), names.exchange.as_str().into());
                let bind = channel.queue_bind(
                    queue,
                    exchange,
                    topic.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                );
                bind.await?;
            }
            Ok(())
        };
        within(options.timeout, declare).await
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        let Shared { options, names, publishing, .. } = &*self.shared;
        let exchange = &names.exchange;
        let parcel = Parcel { id: "", exchange, routing_key: topic, properties: wire::probe(), payload: &[] };
        match confirm::publish(publishing, options.confirm_timeout, vec![parcel]).await.pop() {
            Some(Outcome::Accepted) => Ok(true),
            Some(Outcome::Unroutable) => Ok(false),
            outcome => Err(Error::Broker(format!("no answer about a topic: {outcome:?}").into())),
        }
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let Shared { options, consuming, .. } = &*self.shared;
        let live = consuming.live().await?;
        let receiver = live.receiver(queue);
        let mut slot = receiver.lock().await;
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => {
                self.shared.known(queue).await?;
                within(options.timeout, live.connection.create_channel()).await?
            }
        };
        match self.shared.fetch(&channel, queue, max).await {
            Ok(deliveries) => {
                *slot = Some(channel);
                Ok(deliveries.into_iter().map(|delivery| Box::new(delivery) as Box<dyn Delivery>).collect())
            }
            Err(error) if is_missing(&error) => Err(Error::UnknownQueue(queue.to_owned())),
            Err(error) => {
                consuming.drop_live(&live).await;
                Err(error)
            }
        }
    }

    fn arrivals(&self, queue: &str) -> Arc<Notify> {
        self.shared.bells.of(queue)
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let ready = self.shared.known(queue).await?;
        let dead = self.shared.count(&self.shared.names.dead(queue)).await?.unwrap_or(0);
        let delayed = self.shared.delayed(queue).await?;
        Ok(Depth::new(ready, delayed, self.shared.leases.count(queue), dead))
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
