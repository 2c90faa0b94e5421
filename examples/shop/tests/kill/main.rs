//! SIGKILL at named places of an order's way, and at random ones; then a start on the same data.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests unwrap and spawn their visitors")]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    unused_imports,
    reason = "modules of one test program"
)]

#[path = "../support/embedded.rs"]
mod place;
#[path = "../support/shop.rs"]
mod support;

mod at_login;
mod at_marks;
mod at_random;
