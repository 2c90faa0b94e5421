//! A message in the caller's transaction on PostgreSQL, beside the transaction alone.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at the first surprise")]

use criterion::{Criterion, criterion_group, criterion_main};
use onceward_reliable_mq::{Message, Outbox};
use sqlx::{PgPool, Postgres, Transaction};

async fn business(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("insert into business (body) values ('x')").execute(&mut *tx).await.unwrap();
    tx
}

fn enqueue(c: &mut Criterion) {
    let runtime = benches::runtime();
    let (db, pool, outbox) = runtime.block_on(async {
        let db = testkit::postgres::database().await;
        let pool = PgPool::connect(db.url()).await.unwrap();
        sqlx::query("create table business (id bigint generated always as identity primary key, body text)")
            .execute(&pool)
            .await
            .unwrap();
        let outbox = Outbox::new(pool.clone());
        outbox.migrate().await.unwrap();
        (db, pool, outbox)
    });
    let message = Message::to("orders.confirmed").key("alice").text("order 17").unwrap();
    let mut group = c.benchmark_group("reliable-mq/postgres");
    group.bench_function("transaction alone", |b| {
        b.to_async(&runtime).iter(|| async { business(&pool).await.commit().await.unwrap() });
    });
    group.bench_function("transaction with enqueue", |b| {
        b.to_async(&runtime).iter(|| async {
            let mut tx = business(&pool).await;
            outbox.enqueue(&mut tx, &message).await.unwrap();
            tx.commit().await.unwrap();
        });
    });
    group.finish();
    runtime.block_on(pool.close());
    drop(db);
}

criterion_group!(all, enqueue);
criterion_main!(all);
