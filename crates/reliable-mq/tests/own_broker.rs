//! The broker that the README shows passes the suite.
#![allow(missing_docs, reason = "a test program")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use onceward_reliable_mq::{
    Broker, BrokerCapabilities, Delivery, Depth, Durability, Envelope, Error, Health, Outcome, Subscription,
    async_trait,
};

include!("own_broker/one_lock.rs");

onceward_reliable_mq::conformance!(broker: async |visibility| (Arc::new(OneLock::new(visibility)) as Arc<dyn Broker>, ()));

#[test]
fn the_readme_shows_this_broker() {
    assert!(include_str!("../README.md").contains(include_str!("own_broker/one_lock.rs")));
}
