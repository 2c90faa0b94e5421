//! The store that the README shows passes the suite.
#![allow(clippy::expect_used, missing_docs, reason = "these are tests: a panic is the report")]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onceward_cart_store::conformance::Fixture;
use onceward_cart_store::{
    Absorb, Applied, Bought, Capabilities, Cart, Change, Command, Durability, Error, GuestId, Line, MemberId, MergeId,
    MergeReport, MergeTtl, OrderId, Owner, Record, Sealing, Stage, Store, Taken, Unfinished, async_trait,
};

include!("own_store/one_lock.rs");

onceward_cart_store::conformance!(async || Fixture::new(OneLock::default()));

#[test]
fn the_readme_shows_this_store() {
    assert!(include_str!("../README.md").contains(include_str!("own_store/one_lock.rs")));
}
