//! The contract on the memory store.
#![allow(missing_docs, reason = "tests")]

use onceward_idempotency::MemoryStore;

async fn make() -> (MemoryStore, ()) {
    (MemoryStore::new(), ())
}

onceward_idempotency::conformance!(make);
