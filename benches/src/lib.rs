//! What is measured, once for the criterion targets (one client: latency) and the load harness (several: throughput).
//!
//! Each case puts an operation of a crate beside the bare driver that sends the same commands to the same server, in one
//! run. Absolute rates of two sittings do not compare; the ratio of one sitting says something.

#![allow(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

pub mod case;
pub mod cases;
pub mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;

use case::{Case, Client, Setting};

/// The runtime that the measured calls run on.
///
/// # Panics
/// If it cannot be started.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Benches one client of each side of the cases whose work does not run out.
pub fn latencies(c: &mut Criterion, cases: &[Case]) {
    let runtime = runtime();
    for case in cases.iter().filter(|case| !case.runs_out) {
        let mut group = c.benchmark_group(case.name);
        for side in &case.sides {
            let setting = Setting { clients: 1, span: Duration::ZERO, seed: 1 };
            let world = runtime.block_on(side.open(setting));
            let (client, turns) = (Arc::clone(&world.clients[0]), AtomicU64::new(0));
            group.bench_function(side.name, |b| {
                b.to_async(&runtime).iter(|| client.turn(turns.fetch_add(1, Ordering::Relaxed)));
            });
            drop(client);
            runtime.block_on(async {
                world.settle().await;
                world.close().await;
            });
        }
        group.finish();
    }
}

/// Benches one client that needs no server.
pub fn latency(c: &mut Criterion, group: &str, name: &str, client: &dyn Client) {
    let (runtime, turns) = (runtime(), AtomicU64::new(0));
    let mut group = c.benchmark_group(group);
    group.bench_function(name, |b| {
        b.to_async(&runtime).iter(|| client.turn(turns.fetch_add(1, Ordering::Relaxed)));
    });
    group.finish();
}
