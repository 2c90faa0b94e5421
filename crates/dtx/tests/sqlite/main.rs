//! Global transactions over SQLite files, with the coordinator in a file of its own.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests say what they expect by unwrapping and drive their own tasks"
)]

mod bank;
mod conflict;
mod crash;
mod differential;
mod executor;
mod global;
mod held;
mod order;
mod parked;
mod refused;
mod world;
