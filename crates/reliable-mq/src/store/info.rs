//! What operators ask for, and what they are told.

use std::{collections::BTreeMap, time::Duration};

use super::{Counts, Status};
use crate::message::MessageId;

/// Which messages are meant. Every part narrows; what is left out does not. The default is all that was not sent.
///
/// ```
/// # use onceward_reliable_mq::{MessageFilter, Status};
/// let filter = MessageFilter::default().in_states([Status::Dead]).with_topic("orders.confirmed").with_limit(10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageFilter {
    /// Only this one.
    pub id: Option<MessageId>,
    /// Only those that stand so.
    pub states: Vec<Status>,
    /// Only those of this topic.
    pub topic: Option<String>,
    /// Only those of this ordering key. Of those that were sent no key is known.
    pub key: Option<String>,
    /// Only those of this tenant. Of those that were sent no tenant is known.
    pub tenant: Option<String>,
    /// Only those whose last error contains this text, upper and lower case told apart.
    pub error: Option<String>,
    /// Only those that were enqueued at least that long ago; of those that were sent, sent at least that long ago.
    pub older_than: Duration,
    /// At most so many, the oldest.
    pub limit: usize,
}

impl Default for MessageFilter {
    fn default() -> Self {
        Self {
            id: None,
            states: vec![Status::Pending, Status::Delayed, Status::Failed, Status::Held, Status::Dead],
            topic: None,
            key: None,
            tenant: None,
            error: None,
            older_than: Duration::ZERO,
            limit: 1_000,
        }
    }
}

impl MessageFilter {
    /// This message, wherever it stands.
    #[must_use]
    pub fn of(id: &MessageId) -> Self {
        Self { id: Some(id.clone()), ..Self::default() }.in_states(Status::ALL)
    }

    /// Only those that stand so.
    #[must_use]
    pub fn in_states(mut self, states: impl IntoIterator<Item = Status>) -> Self {
        self.states = states.into_iter().collect();
        self
    }

    /// Only those of this topic.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only those of this ordering key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only those of this tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Only those whose last error contains this text.
    #[must_use]
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Only those that are at least that old.
    #[must_use]
    pub fn with_older_than(mut self, age: Duration) -> Self {
        self.older_than = age;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn admits(&self, shown: &MessageInfo) -> bool {
        let is = |wanted: &Option<String>, own: Option<&str>| wanted.as_deref().is_none_or(|w| own == Some(w));
        self.id.as_ref().is_none_or(|id| *id == shown.message_id)
            && self.states.contains(&shown.status)
            && is(&self.topic, Some(&shown.topic))
            && is(&self.key, shown.key.as_deref())
            && is(&self.tenant, shown.tenant.as_deref())
            && self.error.as_deref().is_none_or(|part| shown.last_error.as_deref().is_some_and(|e| e.contains(part)))
            && shown.age >= self.older_than
    }
}

/// Where one message stands, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// Which message.
    pub message_id: MessageId,
    /// Its topic.
    pub topic: String,
    /// Its ordering key; not known of one that was sent.
    pub key: Option<String>,
    /// Its tenant, if it has one; not known of one that was sent.
    pub tenant: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// How many attempts it took so far.
    pub attempts: u32,
    /// The reason of the last failed attempt.
    pub last_error: Option<String>,
    /// How long ago it was enqueued; of one that was sent, how long ago that was.
    pub age: Duration,
    /// How long ago it came to stand so.
    pub since: Duration,
    /// How long until it is due, if it waits for its time.
    pub due: Option<Duration>,
    /// Those of its key behind it wait for it.
    pub blocks: bool,
    /// The global transaction that holds it back.
    pub xid: Option<String>,
}

/// One lane, and who publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneInfo {
    /// Which lane.
    pub lane: u32,
    /// Who has it; `None` if it is free.
    pub owner: Option<String>,
    /// How often it was taken.
    pub epoch: i64,
    /// How long the lease lasts from now on; `None` if it is over, or if nobody has it.
    pub lease: Option<Duration>,
    /// How many messages were never tried.
    pub hot: u64,
    /// How many wait for their time.
    pub delayed: u64,
    /// How long the longest waiting of those has waited that the relay could have sent: since it was enqueued, or since it
    /// was due.
    pub lag: Option<Duration>,
}

/// A relay that lives, and what it publishes. A store makes them, so nothing will be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayInfo {
    /// Its name.
    pub owner: String,
    /// The lanes that it has, in their order.
    pub lanes: Vec<u32>,
    /// How long it counts as living from now on, if nothing more is heard of it.
    pub alive: Duration,
}

impl RelayInfo {
    /// From all signs of life that are not over: who, of which lane if it is its lease, and for how long.
    pub(crate) fn gather(signs: impl IntoIterator<Item = (String, Option<u32>, Duration)>) -> Vec<Self> {
        let mut relays: BTreeMap<String, Self> = BTreeMap::new();
        for (owner, lane, alive) in signs {
            let new = || Self { owner: owner.clone(), lanes: Vec::new(), alive };
            let relay = relays.entry(owner.clone()).or_insert_with(new);
            relay.lanes.extend(lane);
            relay.alive = relay.alive.max(alive);
        }
        let mut relays: Vec<Self> = relays.into_values().collect();
        relays.iter_mut().for_each(|relay| relay.lanes.sort_unstable());
        relays
    }
}

/// How many messages of a topic wait where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The topic.
    pub topic: String,
    /// Its messages.
    pub counts: Counts,
}

/// A topic whose messages wait because an operator said so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PausedTopic {
    /// The topic.
    pub topic: String,
    /// Since when, in microseconds since the epoch.
    pub at: i64,
}
