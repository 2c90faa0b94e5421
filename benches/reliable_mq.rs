//! A message in the caller's transaction on PostgreSQL, beside the same statements by the bare driver.
#![allow(missing_docs, reason = "made by a macro")]

use benches::cases::reliable_mq::cases;
use criterion::{Criterion, criterion_group, criterion_main};

fn stores(c: &mut Criterion) {
    benches::latencies(c, &cases());
}

criterion_group!(all, stores);
criterion_main!(all);
