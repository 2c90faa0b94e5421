//! Settings of the relay.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::store::History;

/// Settings of a [`Relay`](crate::Relay).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RelayOptions {
    /// The name under which lanes are leased. A stable name lets a restarted process take its lanes over at once; only
    /// one process at a time may use it. `None`: a fresh name, and lanes of a killed process wait for their lease to end.
    pub owner: Option<String>,
    /// How a lane's lease lasts without being renewed; it is renewed after a third of it.
    pub lease: Duration,
    /// How many messages are read at once.
    pub batch: usize,
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

    /// Sets how many messages are read at once; at least one.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
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
