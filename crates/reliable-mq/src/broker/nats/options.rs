//! Settings of the NATS broker.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::message::MAX_PAYLOAD;

/// Settings of a [`NatsBroker`](super::NatsBroker). Those of queues are part of their declaration: the broker does not change
/// a queue that exists, it says what differs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NatsOptions {
    /// What the names of streams and subjects begin with: several installations on one account. Letters, digits, `_`, `-`.
    pub prefix: String,
    /// On how many servers of a cluster a queue is kept.
    pub replicas: usize,
    /// How long the server knows a message that it has, so that a repeat is not stored twice. Longer than outages are
    /// expected to be; the ids of that time are in the server's memory.
    pub duplicate_window: Duration,
    /// Most messages of a queue; one that is full refuses more. `None`: what an operator may have set is left alone.
    pub max_messages: Option<u64>,
    /// Most bytes of a queue, likewise.
    pub max_bytes: Option<u64>,
    /// How long the server may take for one answer, connecting included.
    pub timeout: Duration,
    /// How long the acknowledgements of a batch may take; shorter than the relay's publish time-out, which else ends the
    /// call without any outcome.
    pub confirm_timeout: Duration,
    /// How long a delivery may stay unsettled before the server gives it to another. Longer than any handler takes.
    pub visibility: Duration,
    /// Most bytes of a payload; a larger one is refused before it is sent, as is one that is too large for the server.
    pub max_payload: usize,
    /// Pauses between attempts to connect.
    pub reconnect: RetryPolicy,
}

impl Default for NatsOptions {
    fn default() -> Self {
        let reconnect = RetryPolicy::exponential().with_base(Duration::from_millis(100));
        Self {
            prefix: "onceward".to_owned(),
            replicas: 1,
            duplicate_window: Duration::from_secs(10 * 60),
            max_messages: None,
            max_bytes: None,
            timeout: Duration::from_secs(4),
            confirm_timeout: Duration::from_secs(4),
            visibility: Duration::from_secs(15 * 60),
            max_payload: MAX_PAYLOAD,
            reconnect: reconnect.with_max(Duration::from_secs(5)),
        }
    }
}

impl NatsOptions {
    /// Begins all names with this.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps queues on so many servers of a cluster.
    #[must_use]
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets how long a repeat is recognised.
    #[must_use]
    pub fn with_duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = window;
        self
    }

    /// Limits the messages of a queue.
    #[must_use]
    pub fn with_max_messages(mut self, messages: u64) -> Self {
        self.max_messages = Some(messages);
        self
    }

    /// Limits the bytes of a queue.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
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

    /// Refuses payloads above so many bytes.
    #[must_use]
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Sets the pauses between attempts to connect.
    #[must_use]
    pub fn with_reconnect(mut self, reconnect: RetryPolicy) -> Self {
        self.reconnect = reconnect;
        self
    }
}
