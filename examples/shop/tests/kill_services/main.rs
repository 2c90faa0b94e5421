//! SIGKILL and a start on the same data, on servers: the same rows.
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

#[path = "../kill/at_login.rs"]
mod at_login;
#[path = "../kill/at_marks.rs"]
mod at_marks;
#[path = "../kill/at_random.rs"]
mod at_random;
