//! Settings of the consumer.

use std::time::Duration;

use onceward_backend::RetryPolicy;

/// Settings of a [`Consumer`](crate::Consumer).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// How many messages are handled at once. Above one, messages of one key may overtake each other.
    pub concurrency: usize,
    /// How many messages share a transaction; the handler runs for one after the other. Where one fails, or was handled before,
    /// the transaction is rolled back, and each has one of its own. A consumer begins with one message and doubles from round to
    /// round; what came again from a consumer that died shares with nobody.
    pub batch: usize,
    /// How often the broker is asked when nothing rings.
    pub poll: Duration,
    /// How long the handling of a delivery or of a batch may take, with all that is tried at once; shorter than the broker's
    /// lease. On PostgreSQL no statement of it waits for a lock for longer: else a host that is gone would hold up others for
    /// hours.
    pub timeout: Duration,
    /// How often a handler is tried before its message is put back, and the pauses between. It costs no trip to the broker, and
    /// keeps those behind waiting. Together that is one failure.
    pub at_once: RetryPolicy,
    /// How messages whose handler failed are repeated; after `attempts` failures they are parked.
    pub retry: RetryPolicy,
    /// Whether a replayed message is handled that the inbox may have handled and [forgotten](crate::Forgotten), instead of
    /// parked: for as long as it takes to work off such messages, once somebody has seen that it does no harm.
    pub may_duplicate: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        let retry = RetryPolicy::exponential().with_base(Duration::from_millis(100));
        Self {
            concurrency: 1,
            batch: 1,
            poll: Duration::from_millis(200),
            timeout: Duration::from_secs(30),
            at_once: retry.with_base(Duration::from_millis(20)).with_max(Duration::from_millis(100)).with_attempts(3),
            retry: retry.with_max(Duration::from_secs(60)).with_attempts(12),
            may_duplicate: false,
        }
    }
}

impl ConsumerOptions {
    /// Sets how many messages are handled at once; at least one.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Sets how many messages share a transaction; at least one. Of each of the `concurrency` so many are received.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// Sets how often the broker is asked.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Sets how a handler is tried before its message is put back; one attempt: put back after the first failure.
    #[must_use]
    pub fn with_at_once(mut self, retry: RetryPolicy) -> Self {
        self.at_once = retry;
        self
    }

    /// Sets how long the handling of a delivery may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how failed messages are repeated.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Handles replayed messages that the inbox may have forgotten.
    #[must_use]
    pub fn with_may_duplicate(mut self, may: bool) -> Self {
        self.may_duplicate = may;
        self
    }
}
