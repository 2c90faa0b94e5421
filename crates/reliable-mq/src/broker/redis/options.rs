//! Settings of the Redis broker.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::broker::Durability;

/// Settings of a [`RedisBroker`](super::RedisBroker).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// What the names of all keys begin with: several installations on one server. Visible characters but braces.
    pub prefix: String,
    /// What acceptance is to mean, and what the server must therefore be set to: `Stored` an append-only file (synced every
    /// second, it may lack the last two when a server is killed while its disk is slow), `Fsynced` one that is synced always,
    /// `Volatile` nothing. A server that is set otherwise is not used. More cannot be had.
    pub durability: Durability,
    /// Whether the server is asked for its settings on each new connection (`CONFIG GET`). Without, the operator's word counts:
    /// for servers where clients may not ask.
    pub check: bool,
    /// How long a message that is stored is known, so that a repeat is not stored twice. Longer than outages are expected to
    /// be; each message of that time is a key of about a hundred bytes.
    pub duplicate_window: Duration,
    /// How long the server may take for one answer, connecting included.
    pub timeout: Duration,
    /// How long the answers to a batch may take; shorter than the relay's publish time-out, which else ends the call without
    /// any outcome.
    pub confirm_timeout: Duration,
    /// How long a delivery may stay unsettled before it is given to another. Longer than any handler takes.
    pub visibility: Duration,
    /// Pauses between attempts to connect.
    pub reconnect: RetryPolicy,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let reconnect = RetryPolicy::exponential().with_base(Duration::from_millis(100));
        Self {
            prefix: "onceward:".to_owned(),
            durability: Durability::Stored,
            check: true,
            duplicate_window: Duration::from_secs(10 * 60),
            timeout: Duration::from_secs(4),
            confirm_timeout: Duration::from_secs(4),
            visibility: Duration::from_secs(15 * 60),
            reconnect: reconnect.with_max(Duration::from_secs(5)),
        }
    }
}

impl RedisOptions {
    /// Begins all names with this.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Demands this of the server, and declares it.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Asks the server for its settings, or takes the operator's word.
    #[must_use]
    pub fn with_check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Sets how long a repeat is recognised.
    #[must_use]
    pub fn with_duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = window;
        self
    }

    /// Sets how long one answer may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the answers to a batch may take.
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

    /// Sets the pauses between attempts to connect.
    #[must_use]
    pub fn with_reconnect(mut self, reconnect: RetryPolicy) -> Self {
        self.reconnect = reconnect;
        self
    }
}
