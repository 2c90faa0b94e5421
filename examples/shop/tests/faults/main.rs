//! Servers that go away, die, forget, fall silent and lose answers under buying clients. The shop goes on.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests unwrap and spawn their visitors")]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    unused_imports,
    reason = "modules of one test program"
)]

#[path = "../support/services.rs"]
mod place;
#[path = "../support/shop.rs"]
mod support;

mod buyer;
mod flushed;
mod scene;
mod servers;
mod wires;
