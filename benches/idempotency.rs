//! Claiming a content once: memory, Redis and PostgreSQL, beside the bare command or statement.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use onceward_backend::{KeyRing, Redis, redis};
use onceward_idempotency::{Dedup, Fingerprint, FormTokens, MemoryStore, PostgresStore, RedisStore, Spend};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A content that was not there before.
fn fresh() -> [u8; 8] {
    NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes()
}

async fn order(tokens: &FormTokens) {
    let token = tokens.issue("alice", &Fingerprint::NONE).await.unwrap();
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &Fingerprint::NONE).await.unwrap() else {
        panic!("a fresh token is accepted")
    };
    claim.complete("order").await.unwrap();
}

fn memory(c: &mut Criterion) {
    let runtime = benches::runtime();
    let dedup = Dedup::new(Arc::new(MemoryStore::new()), "bench").unwrap();
    let tokens = FormTokens::new(Arc::new(MemoryStore::new()), KeyRing::generate().unwrap());
    let mut group = c.benchmark_group("idempotency/memory");
    group.bench_function("mark", |b| b.to_async(&runtime).iter(|| async { dedup.mark(&fresh()).await.unwrap() }));
    group.bench_function("issue, spend, complete", |b| b.to_async(&runtime).iter(|| order(&tokens)));
    group.finish();
}

fn redis_store(c: &mut Criterion) {
    let runtime = benches::runtime();
    let prefix = testkit::redis::prefix();
    let redis = runtime.block_on(Redis::connect(prefix.url())).unwrap().with_prefix(prefix.as_str());
    let dedup = Dedup::new(Arc::new(RedisStore::new(redis.clone())), "bench").unwrap();
    let tokens = FormTokens::new(Arc::new(RedisStore::new(redis.clone())), KeyRing::generate().unwrap());
    let mut group = c.benchmark_group("idempotency/redis");
    group.bench_function("bare SET NX PX", |b| {
        b.to_async(&runtime).iter(|| async {
            let key = redis.key(&format!("bare{}", u64::from_be_bytes(fresh())));
            let mut set = redis::cmd("SET");
            set.arg(key).arg("1").arg("NX").arg("PX").arg(86_400_000);
            redis.command::<Option<String>>(&set).await.unwrap()
        });
    });
    group.bench_function("mark", |b| b.to_async(&runtime).iter(|| async { dedup.mark(&fresh()).await.unwrap() }));
    group.bench_function("issue, spend, complete", |b| b.to_async(&runtime).iter(|| order(&tokens)));
    group.finish();
}

fn postgres_store(c: &mut Criterion) {
    let runtime = benches::runtime();
    let (db, pool) = runtime.block_on(async {
        let db = testkit::postgres::database().await;
        let pool = sqlx::PgPool::connect(db.url()).await.unwrap();
        sqlx::query("create table bare (id bytea primary key, at bigint)").execute(&pool).await.unwrap();
        (db, pool)
    });
    let store = PostgresStore::new(pool.clone());
    runtime.block_on(store.migrate()).unwrap();
    let dedup = Dedup::new(Arc::new(store), "bench").unwrap();
    let mut group = c.benchmark_group("idempotency/postgres");
    group.bench_function("bare insert", |b| {
        b.to_async(&runtime).iter(|| async {
            let insert = sqlx::query("insert into bare (id, at) values ($1, 1) on conflict do nothing");
            insert.bind(fresh().to_vec()).execute(&pool).await.unwrap()
        });
    });
    group.bench_function("mark", |b| b.to_async(&runtime).iter(|| async { dedup.mark(&fresh()).await.unwrap() }));
    group.finish();
    runtime.block_on(pool.close());
    drop(db);
}

criterion_group!(all, memory, redis_store, postgres_store);
criterion_main!(all);
