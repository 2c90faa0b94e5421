//! What the conformance suites of all crates run on.

use std::io::Write;

/// Runs a case on a multi-thread runtime of its own (4 workers), so that a third party's tests need no runtime crate.
///
/// # Panics
/// If the runtime cannot be started.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    #[allow(clippy::expect_used, reason = "a test without a runtime has nothing to report but this")]
    runtime.expect("starting a runtime for a conformance case").block_on(future)
}

/// Says that the running case does not apply, and why. Not by `println!`: what a passing test prints is not shown.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let case = thread.name().unwrap_or("a case");
    // Where nobody reads it, nobody misses it.
    let _ = writeln!(std::io::stderr(), "skipped {case}: {why}");
}
