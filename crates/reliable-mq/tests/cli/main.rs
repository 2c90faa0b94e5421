//! The operator's program, run on outboxes that the library made.
#![allow(
    clippy::clone_on_ref_ptr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests say what they expect by unwrapping; `broker.clone()` becomes an `Arc<dyn Broker>`"
)]

#[path = "../relay/double.rs"]
#[allow(dead_code, reason = "it has more than is needed here")]
mod double;

mod dead;
mod list;
mod looking;
mod nowhere;
mod replay;
mod resend;
mod scene;
#[cfg(any(feature = "test-mysql", feature = "test-postgres"))]
mod servers;
mod show;
mod status;
mod tool;
mod upkeep;
