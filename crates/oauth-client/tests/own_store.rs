//! The store that the README shows passes the suite.
#![allow(missing_docs, reason = "a test program")]

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use onceward_backend::BackendError;
use onceward_oauth_client::{
    CodeLedger, Digest, FlowStore, TokenVault, async_trait,
    store::{Entry, Stored},
};

include!("own_store/one_lock.rs");

onceward_oauth_client::conformance!(async || (OneLock::default(), ()));

#[test]
fn the_readme_shows_this_store() {
    assert!(include_str!("../README.md").contains(include_str!("own_store/one_lock.rs")));
}
