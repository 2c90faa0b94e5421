//! Redis: a stream per queue, one script per change.

mod confirm;
mod delivery;
mod link;
mod names;
mod options;
mod scripts;
mod settings;
mod wire;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

pub use self::options::RedisOptions;
use self::{
    delivery::{Place, RedisDelivery},
    link::{Link, answered, told},
    names::Names,
    scripts::{DEAD, DEPTH, PROBE, RECEIVE, REMOVE, SUBSCRIBE, UNBURY},
    wire::Fields,
};
use super::{
    Broker, BrokerCapabilities, DeadDelivery, Delivery, Depth, Health, Outcome, Subscription, bells::Bells,
    window::Windows,
};
use crate::{
    Error, ident,
    message::{Envelope, MessageId},
};

/// Queues at a Redis server, 7.0 or later.
///
/// It connects when it is first needed, and again with pauses after a connection is lost. A queue is a stream: a message goes
/// into that of every queue that takes its topic at once, under a mark of its id, so a repeat is stored once. Deliveries are
/// fetched when asked for, so none waits in a process that is busy, and any process may settle what it has on whatever
/// connection it has by then.
///
/// ```no_run
/// # async fn example() -> Result<(), onceward_reliable_mq::Error> {
/// use onceward_reliable_mq::{Broker, RedisBroker, RedisOptions, Subscription};
///
/// let broker = RedisBroker::new("redis://localhost:6379", RedisOptions::default())?;
/// broker.subscribe(&Subscription::new("mailer").topic("orders.confirmed")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisBroker {
    shared: Arc<Shared>,
}

struct Shared {
    options: RedisOptions,
    names: Names,
    link: Link,
    bells: Bells,
}

impl RedisBroker {
    /// A broker at this address, `redis://user:password@host:port/database`. Nothing is sent yet, so a service can start before
    /// its broker.
    ///
    /// # Errors
    /// [`Error::Broker`] if this is no such address; [`Error::Message`] if the prefix in the options is none;
    /// [`Error::Unsupported`] if the durability is more than one server can give.
    pub fn new(url: &str, options: RedisOptions) -> Result<Self, Error> {
        settings::possible(options.durability)?;
        let shared = Shared {
            names: Names::new(&options.prefix)?,
            link: Link::new(url, &options)?,
            options,
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
        let mut keys = names.queue(queue).to_vec();
        keys.push(names.topics(queue));
        link.run(&REMOVE, &keys, &[queue.as_bytes(), names.routes().as_bytes()]).await
    }
}

impl Shared {
    /// What a script says about a queue; an error if there is no such queue.
    async fn ask<T: redis::FromRedisValue>(
        &self,
        script: &redis::Script,
        queue: &str,
        args: &[&[u8]],
    ) -> Result<T, Error> {
        let answer: Option<T> = self.link.run(script, &self.names.queue(queue), args).await?;
        answer.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RedisBroker {
    /// What the options demand of the server, see [`RedisOptions::durability`]. A failover to a replica may lose what was
    /// accepted, whatever they say.
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(self.shared.options.durability)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let end = Instant::now() + self.shared.options.confirm_timeout;
        let mut windows = Windows::of(batch);
        while let Some(window) = windows.next() {
            let left = end.saturating_duration_since(Instant::now());
            windows.told(self.shared.window(left, window).await);
        }
        self.shared.bells.ring_all();
        windows.outcomes()
    }

    async fn health(&self) -> Health {
        match self.shared.link.run::<i64>(&PROBE, &[], &[]).await {
            Ok(_) => Health::Up,
            Err(error) if answered(&error) => Health::Blocked(told(&error)),
            Err(error) => Health::Down(told(&error)),
        }
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let Shared { names, link, .. } = &*self.shared;
        let [stream, ..] = names.queue(subscription.queue());
        let routes = names.routes();
        let mut args = vec![subscription.queue().as_bytes(), routes.as_bytes()];
        args.extend(subscription.topics().iter().map(String::as_bytes));
        link.run(&SUBSCRIBE, &[stream, names.topics(subscription.queue())], &args).await
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        let Shared { names, link, .. } = &*self.shared;
        link.command(redis::cmd("EXISTS").arg(names.route(topic))).await
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let lease = ident::micros(self.shared.options.visibility).to_string();
        let most = max.min(MOST).to_string();
        let given: Vec<(String, u32, u32, Fields)> =
            self.shared.ask(&RECEIVE, queue, &[most.as_bytes(), lease.as_bytes()]).await?;
        let mut deliveries: Vec<Box<dyn Delivery>> = Vec::with_capacity(given.len());
        for (entry, delivery, failures, fields) in given {
            let place = Place { queue: queue.to_owned(), entry, delivery };
            match RedisDelivery::read(&self.shared, place, failures, fields) {
                Ok(delivery) => deliveries.push(Box::new(delivery)),
                Err(place) => self.shared.park_unread(&place).await,
            }
        }
        Ok(deliveries)
    }

    fn arrivals(&self, queue: &str) -> Arc<Notify> {
        self.shared.bells.of(queue)
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let (ready, delayed, leased, dead) = self.shared.ask(&DEPTH, queue, &[]).await?;
        Ok(Depth::new(ready, delayed, leased, dead))
    }

    async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        let (mut dead, mut first) = (Vec::new(), 0);
        while dead.len() < limit {
            let (from, to) = (first.to_string(), (first + MOST - 1).to_string());
            let page: Vec<(u32, String, Fields)> =
                self.shared.ask(&DEAD, queue, &[from.as_bytes(), to.as_bytes()]).await?;
            if page.is_empty() {
                break;
            }
            first += page.len();
            let readable = page.into_iter().filter_map(|(failures, reason, fields)| {
                wire::read(fields).map(|envelope| DeadDelivery::new(envelope, failures, reason))
            });
            dead.extend(readable.take(limit - dead.len()));
        }
        Ok(dead)
    }

    async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let replayed: i64 = self.shared.ask(&UNBURY, queue, &[id.as_str().as_bytes(), b"1"]).await?;
        self.shared.bells.ring_all();
        Ok(replayed == 1)
    }

    async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let discarded: i64 = self.shared.ask(&UNBURY, queue, &[id.as_str().as_bytes(), b"0"]).await?;
        Ok(discarded == 1)
    }
}

/// How many entries one script looks at: nobody else is served meanwhile.
const MOST: usize = 100;
