//! Logins over real HTTP against a provider on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "a test program"
)]

mod app;
mod binding;
mod faults;
mod fixture;
mod login;
mod lost;
mod stores;
mod tokens;
