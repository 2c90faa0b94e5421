//! One updated row as a branch of a global transaction, beside the same update in a local transaction.
#![allow(missing_docs, reason = "made by a macro")]

use benches::cases::dtx::cases;
use criterion::{Criterion, criterion_group, criterion_main};

fn databases(c: &mut Criterion) {
    benches::latencies(c, &cases());
}

criterion_group!(all, databases);
criterion_main!(all);
