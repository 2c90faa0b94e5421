//! What the benches share.
//!
//! Each bench puts an operation of a crate beside what the bare driver needs for the least that could do the same job, on
//! the same server, in one run. Absolute rates of two sittings do not compare; the ratio of one sitting says something.

use tokio::runtime::Runtime;

/// The runtime that the benched calls run on.
///
/// # Panics
/// If it cannot be started.
pub fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    #[allow(clippy::expect_used, reason = "a bench without a runtime has nothing to measure")]
    runtime.expect("starting a runtime")
}
