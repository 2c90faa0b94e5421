//! Adding to a cart: memory and Redis, beside a bare HINCRBY.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at the first surprise")]

use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use onceward_backend::{Redis, redis};
use onceward_cart_store::store::{MemoryStore, RedisStore};
use onceward_cart_store::{Carts, GuestId, Item, Owner, Sku};
use tokio::runtime::Runtime;

/// An add to a new cart: the least and the most frequent change.
fn adds(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, carts: &Carts) {
    let item = Item::new(Sku::new("speckled-mug").unwrap());
    group.bench_function("add", |b| {
        b.to_async(runtime).iter_batched(
            || Owner::Guest(GuestId::random()),
            |owner| {
                let (carts, item) = (carts.clone(), item.clone());
                async move { carts.add(&owner, item, 1).await.unwrap() }
            },
            BatchSize::SmallInput,
        );
    });
}

fn memory(c: &mut Criterion) {
    let mut group = c.benchmark_group("cart-store/memory");
    adds(&mut group, &benches::runtime(), &Carts::new(Arc::new(MemoryStore::new())));
    group.finish();
}

fn redis_store(c: &mut Criterion) {
    let runtime = benches::runtime();
    let prefix = testkit::redis::prefix();
    let redis = runtime.block_on(Redis::connect(prefix.url())).unwrap().with_prefix(prefix.as_str());
    let mut group = c.benchmark_group("cart-store/redis");
    group.bench_function("bare HINCRBY", |b| {
        b.to_async(&runtime).iter_batched(
            || redis.key(&uuid::Uuid::new_v4().to_string()),
            |key| {
                let redis = redis.clone();
                async move {
                    let mut add = redis::cmd("HINCRBY");
                    redis.command::<i64>(add.arg(key).arg("speckled-mug").arg(1)).await.unwrap()
                }
            },
            BatchSize::SmallInput,
        );
    });
    adds(&mut group, &runtime, &Carts::new(Arc::new(RedisStore::new(redis))));
    group.finish();
}

criterion_group!(all, memory, redis_store);
criterion_main!(all);
