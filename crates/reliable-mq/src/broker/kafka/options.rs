//! Settings of the Kafka broker.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{broker::Durability, message::MAX_PAYLOAD};

/// Who makes the topics of a queue that are missing when it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KafkaTopics {
    /// Somebody else. [`subscribe`](crate::Broker::subscribe) names the first that is missing.
    Given,
    /// The cluster, as soon as it is asked about one, if its `auto.create.topics.enable` says so; partitions, replicas and
    /// clean-up are what it gives to all. For clients that may not create topics.
    Automatic,
    /// This crate, as the options say.
    Declared,
}

/// Settings of a [`KafkaBroker`](super::KafkaBroker).
#[derive(Clone)]
#[non_exhaustive]
pub struct KafkaOptions {
    /// What the names of topics and groups begin with, if with anything: several installations on one cluster. Letters,
    /// digits, `.`, `_`, `-`.
    pub prefix: String,
    /// What acceptance is taken to mean, see [`with_durability`](Self::with_durability).
    pub durability: Durability,
    /// Who makes topics that are missing.
    pub topics: KafkaTopics,
    /// Partitions of a topic that this crate makes; `None`: as many as the cluster gives by itself.
    pub partitions: Option<u16>,
    /// Replicas of a topic that this crate makes, likewise.
    pub replicas: Option<u16>,
    /// How long the cluster may take for one answer.
    pub timeout: Duration,
    /// How long the acknowledgements of a batch may take; shorter than the relay's publish time-out, which else ends the
    /// call without any outcome.
    pub confirm_timeout: Duration,
    /// How long a delivery may stay unsettled before it is delivered again within its process. Longer than any handler takes.
    pub visibility: Duration,
    /// How long a process may be silent before others get its partitions.
    pub session_timeout: Duration,
    /// How long what was acknowledged may wait for its commit. A process that dies within it leaves repeats.
    pub commit_interval: Duration,
    /// Most bytes of a payload; a larger one is refused before it is sent.
    pub max_payload: usize,
    pub(super) properties: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            durability: Durability::Stored,
            topics: KafkaTopics::Declared,
            partitions: None,
            replicas: None,
            timeout: Duration::from_secs(4),
            confirm_timeout: Duration::from_secs(3),
            visibility: Duration::from_secs(15 * 60),
            session_timeout: Duration::from_secs(45),
            commit_interval: Duration::from_millis(500),
            max_payload: MAX_PAYLOAD,
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaOptions {
    /// Begins all names with this.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Says what acceptance means at this cluster. [`Durability::Stored`]: a broker has written it, which is all that a client
    /// can know. [`Durability::Replicated`]: publishing to a topic that has but one replica is refused; that its
    /// `min.insync.replicas` is two or more, which makes the acknowledgement worth it, is for you to see to. Kafka syncs no
    /// file before it acknowledges, so nothing else is to be had.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Says who makes topics that are missing.
    #[must_use]
    pub fn with_topics(mut self, topics: KafkaTopics) -> Self {
        self.topics = topics;
        self
    }

    /// Gives topics that this crate makes so many partitions. One partition is consumed by one process at a time.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u16) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Keeps topics that this crate makes on so many brokers.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u16) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Sets how long one answer may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the acknowledgements of a batch may take.
    #[must_use]
    pub fn with_confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// Sets how long a delivery may stay unsettled.
    #[must_use]
    pub fn with_visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility;
        self
    }

    /// Sets how long a process may be silent; within what the cluster allows, 6 s to 30 min unless it says otherwise.
    #[must_use]
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Sets how long a commit may wait.
    #[must_use]
    pub fn with_commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Refuses payloads above so many bytes.
    #[must_use]
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Passes a property on to the client library, librdkafka: how to log in, say. It goes before what this crate would set,
    /// but for what its promises rest on: acknowledgement by all replicas, idempotence, and when offsets are stored.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for KafkaOptions {
    // No value of a property: passwords are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("prefix", &self.prefix)
            .field("durability", &self.durability)
            .field("topics", &self.topics)
            .field("partitions", &self.partitions)
            .field("replicas", &self.replicas)
            .field("visibility", &self.visibility)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_a_password() {
        let options = KafkaOptions::default().with_property("sasl.password", "hidden");
        let shown = format!("{options:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hidden"), "{shown}");
    }
}
