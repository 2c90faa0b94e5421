//! Topics of the cluster: whether they are there, making them, and how full they are.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::{Client, ClientContext},
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult},
    producer::Producer as _,
    types::RDKafkaErrorCode as Code,
};
use tokio::time::{Instant, sleep};

use super::{
    KafkaTopics, Shared,
    config::{Log, blocking},
    member::Member,
    verdict::{failed, is_absent},
};
use crate::{Error, broker::Depth, error::broker};

/// A partition of a topic and how many brokers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: i32,
    pub(super) replicas: usize,
}

impl Shared {
    /// The partitions of a topic; none if there is no such topic.
    pub(super) async fn parts(&self, topic: &str) -> Result<Vec<Part>, Error> {
        let (publisher, topic, timeout) = (self.link.publisher()?, topic.to_owned(), self.options.timeout);
        blocking("looking for a topic", move || parts(publisher.client(), &topic, timeout)).await
    }

    /// Makes the topics that are missing, and waits until all are there.
    pub(super) async fn declare(&self, topics: &[Wanted]) -> Result<(), Error> {
        let mut missing = Vec::new();
        for wanted in topics {
            if self.parts(&wanted.name).await?.is_empty() {
                missing.push(wanted);
            }
        }
        let Some(first) = missing.first() else { return Ok(()) };
        match self.options.topics {
            KafkaTopics::Given => {
                let name = &first.name;
                return Err(broker(format!("the cluster has no topic {name}; create it, or see `KafkaTopics`")));
            }
            KafkaTopics::Automatic => self.ask_for(&missing).await?,
            KafkaTopics::Declared => self.create(&missing).await?,
        }
        let end = Instant::now() + self.options.timeout;
        for wanted in missing {
            while self.parts(&wanted.name).await?.is_empty() {
                if Instant::now() >= end {
                    return Err(broker(format!("the cluster did not make the topic {} in time", wanted.name)));
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    async fn create(&self, wanted: &[&Wanted]) -> Result<(), Error> {
        let admin = self.admin()?;
        let count = |count: Option<u16>| count.map_or(BY_ITSELF, i32::from);
        let topics: Vec<NewTopic<'_>> = wanted
            .iter()
            .map(|wanted| {
                let replicas = TopicReplication::Fixed(count(self.options.replicas));
                let topic = NewTopic::new(&wanted.name, wanted.partitions.unwrap_or(BY_ITSELF), replicas);
                if wanted.compacted { topic.set("cleanup.policy", "compact") } else { topic }
            })
            .collect();
        let told = admin.create_topics(&topics, &self.admin_options()).await;
        for told in told.map_err(|error| failed("creating topics", &error))? {
            match told {
                // Somebody else was faster.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(broker(format!("the topic {name} was not created: {code}"))),
            }
        }
        Ok(())
    }

    /// Asks about topics as a client for which they may be created.
    async fn ask_for(&self, wanted: &[&Wanted]) -> Result<(), Error> {
        let (admin, timeout) = (self.admin()?, self.options.timeout);
        let names: Vec<String> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
        blocking("asking for a topic", move || {
            names.iter().try_for_each(|name| admin.inner().fetch_metadata(Some(name), timeout).map(drop))
        })
        .await
    }

    /// Removes topics; what is not there is fine.
    pub(super) async fn delete(&self, topics: &[&str]) -> Result<(), Error> {
        let told = self.admin()?.delete_topics(topics, &self.admin_options()).await;
        for told in told.map_err(|error| failed("deleting topics", &error))? {
            match told {
                Ok(_) => {}
                Err((_, code)) if is_absent(code) => {}
                Err((name, code)) => return Err(broker(format!("the topic {name} was not deleted: {code}"))),
            }
        }
        Ok(())
    }

    /// How full the queue is, as far as this process can tell: what others have with their consumers counts as ready.
    pub(super) async fn depth_of(&self, member: &Arc<Member>) -> Result<Depth, Error> {
        let (publisher, member, timeout) = (self.link.publisher()?, Arc::clone(member), self.options.timeout);
        blocking("counting", move || {
            let (mut unread, mut unread_retries) = (0, 0);
            for topic in member.topics() {
                let count = unread_in(publisher.client(), &member, &topic, timeout)?;
                *(if member.is_retry(&topic) { &mut unread_retries } else { &mut unread }) += count;
            }
            let (ready, waiting, leased) = member.tracker().counts();
            Ok(Depth::new(unread + ready as u64, unread_retries + waiting as u64, leased as u64, 0))
        })
        .await
    }

    fn admin(&self) -> Result<AdminClient<Log>, Error> {
        self.common.create_with_context(Log).map_err(|error| failed("a kafka client", &error))
    }

    fn admin_options(&self) -> AdminOptions {
        let timeout = Some(self.options.timeout);
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }
}

/// A topic that a queue needs.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) partitions: Option<i32>,
    /// Whether the last record of each key is enough.
    pub(super) compacted: bool,
}

/// As many as the cluster's settings say.
const BY_ITSELF: i32 = -1;

fn parts(client: &Client<impl ClientContext>, topic: &str, timeout: Duration) -> KafkaResult<Vec<Part>> {
    let told = client.fetch_metadata(Some(topic), timeout)?;
    let Some(found) = told.topics().first() else { return Ok(Vec::new()) };
    match found.error().map(Code::from) {
        None => {}
        Some(code) if is_absent(code) || code == Code::LeaderNotAvailable => return Ok(Vec::new()),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
    }
    let each = found.partitions().iter();
    Ok(each.map(|part| Part { number: part.id(), replicas: part.replicas().len() }).collect())
}

/// How many records of a topic this group has not read, in all partitions. The client that publishes is asked where they end:
/// one that consumes has its questions wait behind its fetches.
fn unread_in(client: &Client<impl ClientContext>, member: &Member, topic: &str, timeout: Duration) -> KafkaResult<u64> {
    let (mut asked, mut unread) = (TopicPartitionList::new(), 0);
    for part in parts(client, topic, timeout)? {
        asked.add_partition(topic, part.number);
    }
    let committed = if asked.count() == 0 { asked } else { member.consumer().committed_offsets(asked, timeout)? };
    for of in committed.elements() {
        let (low, high) = client.fetch_watermarks(topic, of.partition(), timeout)?;
        let read = member.tracker().read_up_to(&(topic.into(), of.partition()));
        let committed = if let Offset::Offset(offset) = of.offset() { offset } else { low };
        unread += u64::try_from(high - read.unwrap_or(committed).max(low)).unwrap_or(0);
    }
    Ok(unread)
}
