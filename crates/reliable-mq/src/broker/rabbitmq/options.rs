//! Settings of the RabbitMQ broker.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::message::MAX_PAYLOAD;

/// Settings of a [`RabbitMqBroker`](super::RabbitMqBroker).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RabbitMqOptions {
    /// The exchange that messages are published to.
    pub exchange: String,
    /// What the names of exchange and queues begin with: several installations on one virtual host.
    pub prefix: String,
    /// Whether queues are quorum queues. It is part of a queue's declaration: the broker refuses to change it later.
    pub quorum: bool,
    /// How long the broker may take for one answer, connecting included.
    pub timeout: Duration,
    /// How long the confirms of a batch may take; shorter than the relay's publish time-out, which else ends the call
    /// without any outcome.
    pub confirm_timeout: Duration,
    /// How long a delivery may stay unsettled before this process gives it back. Longer than any handler takes, shorter
    /// than the broker's own acknowledgement time-out (half an hour unless set otherwise).
    pub visibility: Duration,
    /// Most bytes of a payload; a larger one is refused before it is sent.
    pub max_payload: usize,
    /// Pauses between attempts to connect.
    pub reconnect: RetryPolicy,
}

impl Default for RabbitMqOptions {
    fn default() -> Self {
        let reconnect = RetryPolicy::exponential().with_base(Duration::from_millis(100));
        Self {
            exchange: "onceward".to_owned(),
            prefix: String::new(),
            quorum: false,
            timeout: Duration::from_secs(4),
            confirm_timeout: Duration::from_secs(4),
            visibility: Duration::from_secs(15 * 60),
            max_payload: MAX_PAYLOAD,
            reconnect: reconnect.with_max(Duration::from_secs(5)),
        }
    }
}

impl RabbitMqOptions {
    /// Publishes to this exchange. It is declared as a durable direct exchange.
    #[must_use]
    pub fn with_exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = exchange.into();
        self
    }

    /// Begins all names with this.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Declares quorum queues.
    #[must_use]
    pub fn with_quorum(mut self, quorum: bool) -> Self {
        self.quorum = quorum;
        self
    }

    /// Sets how long one answer may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the confirms of a batch may take.
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
