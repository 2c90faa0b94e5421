//! One updated row as a branch of a global transaction on SQLite, beside the same update in a local transaction.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at the first surprise")]

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use onceward_backend::sqlite;
use onceward_dtx::{At, AtOptions, Dtx, DtxError, DtxOptions, Options, SqlStore, Tc, TcOptions};
use sqlx::Sqlite;

const UPDATE: &str = "update stock set quantity = quantity - 1 where sku = 'tea'";

fn one_row(c: &mut Criterion) {
    let runtime = benches::runtime();
    let folder = tempfile::tempdir().unwrap();
    let (dtx, at) = runtime.block_on(async {
        let pool = sqlite::open(folder.path().join("stock.db")).await.unwrap();
        sqlx::query("create table stock (sku text primary key, quantity integer)").execute(&pool).await.unwrap();
        sqlx::query("insert into stock values ('tea', 1000000000)").execute(&pool).await.unwrap();
        let store = SqlStore::<Sqlite>::open(folder.path().join("tc.db")).await.unwrap();
        let dtx = Dtx::new(Arc::new(Tc::new(Arc::new(store), TcOptions::default())), DtxOptions::default());
        let at = At::<Sqlite>::new("stock", pool, &dtx, AtOptions::default()).await.unwrap();
        (dtx, at)
    });
    let mut group = c.benchmark_group("dtx/sqlite");
    group.bench_function("local transaction", |b| {
        b.to_async(&runtime).iter(|| async {
            let mut tx = at.pool().begin_with("begin immediate").await.unwrap();
            sqlx::query(UPDATE).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        });
    });
    // The coordinator's file is synced at each decision, the second phase is left to the worker.
    group.bench_function("global transaction of one branch", |b| {
        b.to_async(&runtime).iter(|| async {
            let work = async |_| {
                at.branch(async |mut tx| {
                    sqlx::query(UPDATE).execute(&mut *tx).await?;
                    Ok::<_, DtxError>(())
                })
                .await
            };
            dtx.run(Options::new("bench"), work).await.unwrap();
        });
    });
    group.finish();
    runtime.block_on(dtx.recover()).unwrap();
}

criterion_group!(all, one_row);
criterion_main!(all);
