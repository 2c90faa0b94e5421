//! What travels beside a payload at brokers that have headers, and in what names.

/// What a message says of its own past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) failures: u32,
    pub(super) deliveries: u32,
    pub(super) reason: Option<String>,
}

#[cfg(any(feature = "kafka", feature = "nats"))]
pub(super) const TOPIC: &str = "onceward-topic";
pub(super) const KEY: &str = "onceward-key";
pub(super) const ENQUEUED: &str = "onceward-enqueued-at";
#[cfg(any(feature = "kafka", feature = "nats"))]
pub(super) const ORIGIN: &str = "onceward-origin";
pub(super) const FAILURES: &str = "onceward-failures";
pub(super) const DELIVERIES: &str = "onceward-deliveries";
pub(super) const REASON: &str = "onceward-reason";
/// The headers of a message that the broker cannot carry under their own names, as JSON.
pub(super) const ODD: &str = "onceward-headers";
