//! The contracts, on the store and the broker in memory.
#![allow(missing_docs, reason = "a test program")]

use std::{sync::Arc, time::Duration};

use onceward_reliable_mq::{Broker, MemoryBroker, MemoryStore, Store};

mod store {
    use super::{Arc, MemoryStore, Store};

    async fn make() -> (Arc<dyn Store>, ()) {
        (Arc::new(MemoryStore::new()), ())
    }
    onceward_reliable_mq::conformance!(store: make);
}

mod store_of_8_lanes {
    use super::{Arc, MemoryStore, Store};

    async fn make() -> (Arc<dyn Store>, ()) {
        (Arc::new(MemoryStore::with_lanes(8)), ())
    }
    onceward_reliable_mq::conformance!(store: make);
}

mod broker {
    use super::{Arc, Broker, Duration, MemoryBroker};

    async fn make(visibility: Duration) -> (Arc<dyn Broker>, ()) {
        (Arc::new(MemoryBroker::with_visibility(visibility)), ())
    }
    onceward_reliable_mq::conformance!(broker: make);
}
