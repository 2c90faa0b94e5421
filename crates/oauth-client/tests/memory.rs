//! The store contract on the memory store.
#![allow(missing_docs, reason = "a test program")]

use onceward_oauth_client::store::MemoryStore;

async fn make() -> (MemoryStore, ()) {
    (MemoryStore::new(), ())
}

onceward_oauth_client::conformance!(make);
