//! Kafka: a group per queue, a topic per topic, and two more for what is retried and given up.

mod config;
mod confirm;
mod delivery;
mod link;
mod member;
mod names;
mod options;
mod parked;
mod topology;
mod tracker;
mod verdict;
mod wire;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rdkafka::ClientConfig;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

pub use self::options::{KafkaOptions, KafkaTopics};
use self::{delivery::KafkaDelivery, link::Link, member::Member, names::Names, topology::Wanted};
use super::{
    Broker, BrokerCapabilities, DeadDelivery, Delivery, Depth, Durability, Health, Outcome, Subscription,
    bells::Bells,
    window::{Windows, unknown},
};
use crate::{
    Error,
    error::broker,
    message::{Envelope, MessageId},
};

/// Queues at a Kafka cluster.
///
/// A topic is a topic of the cluster under its own name, and others may publish to it and read it. A queue is a group of
/// consumers; it begins with what its topics still hold. Beside them it has a topic of what waits for its retry and one of what
/// was given up, so that a message that fails holds nothing back.
///
/// Kafka knows no lease of one message. This process leases what it has of its partitions; when it dies, others get the
/// partitions after [`session_timeout`](KafkaOptions::session_timeout), and with them again all that was done behind the oldest
/// message that was not. The inbox knows the repeats.
///
/// ```no_run
/// # async fn example() -> Result<(), onceward_reliable_mq::Error> {
/// use onceward_reliable_mq::{Broker, KafkaBroker, KafkaOptions, Subscription};
///
/// let broker = KafkaBroker::new("localhost:9092", KafkaOptions::default())?;
/// broker.subscribe(&Subscription::new("mailer").topic("orders.confirmed")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KafkaBroker {
    shared: Arc<Shared>,
}

struct Shared {
    options: KafkaOptions,
    names: Names,
    common: ClientConfig,
    link: Link,
    members: Mutex<HashMap<String, Arc<Member>>>,
    /// Topics that are on as many brokers as the options demand.
    replicated: Mutex<HashSet<String>>,
    bells: Bells,
}

impl KafkaBroker {
    /// A broker at these servers, `host:port`, several with commas between them. Nothing is sent yet, so a service can start
    /// before its broker.
    ///
    /// # Errors
    /// [`Error::Broker`] if there is no address, or a property of the options is none; [`Error::Message`] if the prefix is none;
    /// [`Error::Unsupported`] if the durability is one that Kafka does not give.
    pub fn new(servers: &str, options: KafkaOptions) -> Result<Self, Error> {
        if !matches!(options.durability, Durability::Stored | Durability::Replicated) {
            return Err(Error::Unsupported("a durability other than stored and replicated"));
        }
        let common = config::common(servers, &options)?;
        let shared = Shared {
            names: Names::new(&options.prefix)?,
            link: Link::new(config::publisher(&common, &options)),
            common,
            options,
            members: Mutex::default(),
            replicated: Mutex::default(),
            bells: Bells::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Leaves the groups of all queues, so that other processes get their partitions at once and nothing that was done comes
    /// again; without it they wait for [`session_timeout`](KafkaOptions::session_timeout) when this process ends. For the end of
    /// a service, after its consumers: what is still with one comes again elsewhere.
    ///
    /// # Errors
    /// [`Error::Broker`] if the cluster does not answer in time.
    pub async fn close(&self) -> Result<(), Error> {
        let members = std::mem::take(&mut *locked(&self.shared.members));
        self.shared.leave(members.into_values()).await
    }

    /// Removes what of a queue waits for a retry, and its dead. Its topics stay, and the cluster knows for a while
    /// (`offsets.retention.minutes`) up to where the queue had read them.
    ///
    /// # Errors
    /// Whatever the broker reports.
    pub async fn remove(&self, queue: &str) -> Result<(), Error> {
        let Shared { names, members, .. } = &*self.shared;
        let member = locked(members).remove(queue);
        self.shared.leave(member).await?;
        self.shared.delete(&[&names.retry(queue), &names.dead(queue)]).await
    }
}

impl Shared {
    fn member(&self, queue: &str) -> Result<Arc<Member>, Error> {
        let member = locked(&self.members).get(queue).map(Arc::clone);
        member.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }

    async fn leave(&self, members: impl IntoIterator<Item = Arc<Member>>) -> Result<(), Error> {
        let members: Vec<_> = members.into_iter().collect();
        let left = config::blocking("leaving the group", move || {
            drop(members);
            Ok(())
        });
        let late = || broker("the cluster did not let this process leave in time");
        timeout(self.options.timeout, left).await.map_err(|_elapsed| late())?
    }

    /// The topics of the batch that are not on as many brokers as was promised.
    async fn too_few(&self, batch: &[Envelope]) -> Result<HashSet<String>, Error> {
        let mut few = HashSet::new();
        if self.options.durability < Durability::Replicated {
            return Ok(few);
        }
        let topics: HashSet<&str> = batch.iter().map(|envelope| envelope.topic()).collect();
        for topic in topics {
            let known = locked(&self.replicated).contains(topic);
            let (false, Ok(name)) = (known, self.names.topic(topic)) else { continue };
            let parts = self.parts(&name).await?;
            if parts.iter().any(|part| part.replicas < 2) {
                few.insert(topic.to_owned());
            } else if !parts.is_empty() {
                locked(&self.replicated).insert(topic.to_owned());
            }
        }
        Ok(few)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Shared {
    fn drop(&mut self) {
        let members = std::mem::take(&mut *locked(&self.members));
        // Leaving a group waits for the cluster, which may be away; who drops a broker is not kept for that.
        if !members.is_empty() {
            std::thread::spawn(move || drop(members));
        }
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBroker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    /// What the options say, see [`KafkaOptions::with_durability`].
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(self.shared.options.durability)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let end = Instant::now() + self.shared.options.confirm_timeout;
        let few = match self.shared.too_few(batch).await {
            Ok(few) => few,
            Err(error) => return vec![unknown(error.to_string()); batch.len()],
        };
        let mut windows = Windows::of(batch);
        while let Some(window) = windows.next() {
            windows.told(self.shared.window(end, &few, window).await);
        }
        windows.outcomes()
    }

    async fn health(&self) -> Health {
        match self.shared.parts(&self.shared.names.nobodys()).await {
            Ok(_) => Health::Up,
            Err(error) => Health::Down(error.to_string()),
        }
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let Shared { options, names, common, members, bells, .. } = &*self.shared;
        let (queue, group) = (subscription.queue(), names.group(subscription.queue())?);
        let topics: Vec<String> =
            subscription.topics().iter().map(|topic| names.topic(topic)).collect::<Result<_, _>>()?;
        let partitions = options.partitions.map(i32::from);
        let wanted = |name: String| Wanted { name, partitions, compacted: false };
        let mut all: Vec<Wanted> = topics.iter().cloned().map(wanted).collect();
        all.push(wanted(names.retry(queue)));
        all.push(Wanted { name: names.dead(queue), partitions: Some(1), compacted: true });
        self.shared.declare(&all).await?;
        let mut members = locked(members);
        let member = match members.get(queue) {
            Some(member) => Arc::clone(member),
            None => {
                let config = config::member(common, options, &group);
                let member = Arc::new(Member::new(&config, &names.retry(queue), bells.of(queue))?);
                Arc::clone(members.entry(queue.to_owned()).or_insert(member))
            }
        };
        drop(members);
        member.subscribe(topics);
        Ok(())
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        let Ok(name) = self.shared.names.topic(topic) else { return Ok(false) };
        Ok(!self.shared.parts(&name).await?.is_empty())
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let (shared, member) = (&self.shared, self.shared.member(queue)?);
        let leased = member.receive(&shared.names, shared.options.visibility, max)?;
        let delivery = |leased| {
            let (shared, member) = (Arc::clone(shared), Arc::clone(&member));
            Box::new(KafkaDelivery { shared, member, queue: queue.to_owned(), leased }) as Box<dyn Delivery>
        };
        Ok(leased.into_iter().map(delivery).collect())
    }

    fn arrivals(&self, queue: &str) -> Arc<Notify> {
        self.shared.bells.of(queue)
    }

    /// Of a queue that this process has declared. What other processes have with their consumers counts as ready. Reads the
    /// dead messages through to count them, and keeps none.
    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let member = self.shared.member(queue)?;
        let Depth { ready, delayed, leased, .. } = self.shared.depth_of(&member).await?;
        Ok(Depth::new(ready, delayed, leased, self.shared.count_dead(queue).await?))
    }

    /// Reads all dead messages of the queue through to tell which they are, and keeps those that it tells of.
    async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        self.shared.dead_of(queue, limit).await
    }

    async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let replayed = self.shared.replay_of(queue, id).await?;
        self.shared.bells.ring_all();
        Ok(replayed)
    }

    async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        self.shared.discard(queue, id).await
    }
}
