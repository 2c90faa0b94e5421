//! Carts: Redis and PostgreSQL beside the bare drivers, and memory.
#![allow(missing_docs, reason = "made by a macro")]

use benches::cases::cart_store::{Young, cases};
use criterion::{Criterion, criterion_group, criterion_main};
use onceward_cart_store::store::MemoryStore;

fn stores(c: &mut Criterion) {
    benches::latencies(c, &cases());
}

fn memory(c: &mut Criterion) {
    benches::latency(c, "cart add, young; memory", "Carts", &Young::new(MemoryStore::new()));
}

criterion_group!(all, memory, stores);
criterion_main!(all);
