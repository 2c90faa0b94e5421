//! Settings of the relay.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::store::History;

/// What is promised of the order in which messages of one key first reach the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// As they were enqueued. Each is published when the one before it was accepted; one that fails holds up those behind it
    /// until it succeeds, is given up, or is released.
    #[default]
    Strict,
    /// As they were enqueued as long as nothing fails: those of a batch are published together, so one behind a failing one
    /// may pass it. From then on the failing one holds up the rest of its key.
    Relaxed,
    /// None: a failing message holds up nobody.
    None,
}

impl Order {
    /// Whether a failing message holds up those behind it.
    pub(super) fn is_kept(self) -> bool {
        self != Self::None
    }
}

/// Settings of a [`Relay`](crate::Relay).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RelayOptions {
    /// The name under which lanes are leased. A stable name lets a restarted process take its lanes over at once; only
    /// one process at a time may use it. `None`: a fresh name, and lanes of a killed process wait for their lease to end.
    pub owner: Option<String>,
    /// How a lane's lease lasts without being renewed; it is renewed after a third of it.
    pub lease: Duration,
    /// How many messages of each lane are read at once.
    pub batch: usize,
    /// How many bytes of payload are read at once and are then on their way to the broker, for each worker. A single message
    /// may be larger.
    pub batch_bytes: usize,
    /// How many parts the lanes are split into. While one waits for the broker another asks the database.
    pub workers: usize,
    /// The order of messages of one key.
    pub order: Order,
    /// How often the store is asked when nothing rings. At most a second.
    pub poll: Duration,
    /// How long a broker may take to answer a publish.
    pub publish_timeout: Duration,
    /// How refused messages are repeated; after `attempts` tries a message is dead.
    pub retry: RetryPolicy,
    /// How long the relay rests while the broker does not answer; spends no attempts.
    pub outage: RetryPolicy,
    /// What the log keeps of messages that were sent.
    pub history: History,
    /// How long the log is kept; a running relay deletes what is older, now and then.
    pub history_retention: Duration,
    /// Whether a broker that forgets its messages with its process is accepted.
    pub allow_volatile: bool,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            owner: None,
            lease: Duration::from_secs(6),
            batch: 200,
            batch_bytes: 8 * 1024 * 1024,
            workers: 2,
            order: Order::Strict,
            poll: Duration::from_millis(200),
            publish_timeout: Duration::from_secs(5),
            retry: policy(Duration::from_millis(200), Duration::from_secs(300), 12),
            outage: policy(Duration::from_millis(100), Duration::from_secs(5), u32::MAX),
            history: History::Rows,
            history_retention: Duration::from_secs(7 * 24 * 3600),
            allow_volatile: false,
        }
    }
}

impl RelayOptions {
    /// Leases lanes under this name.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Sets how long a lease lasts.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how many messages of each lane are read at once; at least one.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// Sets how many bytes of payload each worker has on their way at once; at least one.
    #[must_use]
    pub fn with_batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes.max(1);
        self
    }

    /// Sets how many parts the lanes are split into; at least one.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets the order of messages of one key.
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets how often the store is asked; at most a second.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll.min(Duration::from_secs(1));
        self
    }

    /// Sets how long a broker may take to answer.
    #[must_use]
    pub fn with_publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// Sets how refused messages are repeated.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long the relay rests while the broker does not answer.
    #[must_use]
    pub fn with_outage(mut self, outage: RetryPolicy) -> Self {
        self.outage = outage;
        self
    }

    /// Sets what the log keeps.
    #[must_use]
    pub fn with_history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Sets how long the log is kept.
    #[must_use]
    pub fn with_history_retention(mut self, retention: Duration) -> Self {
        self.history_retention = retention;
        self
    }

    /// Accepts a volatile broker: for tests.
    #[must_use]
    pub fn with_allow_volatile(mut self, allow: bool) -> Self {
        self.allow_volatile = allow;
        self
    }
}

pub(crate) fn policy(base: Duration, max: Duration, attempts: u32) -> RetryPolicy {
    RetryPolicy::exponential().with_base(base).with_max(max).with_attempts(attempts)
}
