//! Logins: Redis and PostgreSQL beside the bare drivers, and memory.
#![allow(missing_docs, reason = "made by a macro")]

use benches::cases::oauth_client::{Begins, Takes, cases};
use criterion::{Criterion, criterion_group, criterion_main};
use onceward_oauth_client::store::MemoryStore;

fn stores(c: &mut Criterion) {
    benches::latencies(c, &cases());
}

fn memory(c: &mut Criterion) {
    benches::latency(c, "oauth begin; memory", "OAuthClient", &Begins::new(MemoryStore::new()));
    benches::latency(c, "oauth take; memory", "stores", &Takes::new(MemoryStore::new()));
}

criterion_group!(all, memory, stores);
criterion_main!(all);
