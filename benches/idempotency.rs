//! Tokens and marks: Redis, PostgreSQL and MariaDB beside the bare drivers, and memory.
#![allow(missing_docs, reason = "made by a macro")]

use benches::cases::idempotency::{Marks, Tokens, cases};
use criterion::{Criterion, criterion_group, criterion_main};
use onceward_idempotency::MemoryStore;

fn stores(c: &mut Criterion) {
    benches::latencies(c, &cases());
}

fn memory(c: &mut Criterion) {
    benches::latency(c, "token: issue, claim, complete; memory", "FormTokens", &Tokens::new(MemoryStore::new()));
    benches::latency(c, "dedup mark; memory", "Dedup", &Marks::new(MemoryStore::new()));
}

criterion_group!(all, memory, stores);
criterion_main!(all);
