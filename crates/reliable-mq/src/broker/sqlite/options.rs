//! Settings of the embedded broker.

use std::time::Duration;

/// Settings of a [`SqliteBroker`](super::SqliteBroker).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteBrokerOptions {
    /// The name under which this process leases deliveries. When a process opens the broker under a name, what an earlier
    /// one left unsettled under it is delivered again at once; so only one process at a time may use a name, for instance
    /// one that holds a lock on the folder. `None`: a fresh name, and such deliveries come back after the visibility time.
    pub instance: Option<String>,
    /// How long a delivery may stay unsettled before it is delivered again. Longer than any handler takes.
    pub visibility: Duration,
}

impl Default for SqliteBrokerOptions {
    fn default() -> Self {
        Self { instance: None, visibility: Duration::from_secs(60) }
    }
}

impl SqliteBrokerOptions {
    /// Leases deliveries under this name.
    #[must_use]
    pub fn with_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Sets how long a delivery may stay unsettled.
    #[must_use]
    pub fn with_visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility;
        self
    }
}
