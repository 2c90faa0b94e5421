//! Branches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{At, AtDb, AtOptions, Dtx, DtxError, DtxOptions, MemoryStore, Options, SqlStore, Tc, TcOptions};
use sqlx::{Encode, Pool, Postgres, Sqlite, Type};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::bare;
use super::far::{self, Place};
use super::{Job, UPDATE, sqlite};
use crate::case::{Client, Setting, World};

struct Branches<D: AtDb> {
    dtx: Dtx,
    at: Vec<At<D>>,
    seed: u64,
    job: Job,
}

#[async_trait]
impl<D: AtDb> Client for Branches<D>
where
    i64: Type<D> + for<'q> Encode<'q, D>,
{
    async fn turn(&self, turn: u64) -> u64 {
        let ids: Vec<_> = self.job.ids(self.seed, turn).collect();
        let work = async |_| {
            let branch = async |mut tx: onceward_dtx::AtTransaction<D>| {
                for id in &ids {
                    sqlx::query::<D>(UPDATE).bind(*id).execute(&mut *tx).await?;
                }
                Ok::<_, DtxError>(())
            };
            for at in &self.at {
                at.branch(&branch).await?;
            }
            Ok::<_, DtxError>(())
        };
        loop {
            match self.dtx.run(Options::new("bench"), work).await {
                Ok(()) => return 1,
                // As a caller would: all of it again, in the time of the same turn.
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Resources and their coordinator with the worker running.
async fn world<D: AtDb>(setting: Setting, job: Job, pools: Vec<Pool<D>>, store: Arc<dyn TcStore>) -> World
where
    i64: Type<D> + for<'q> Encode<'q, D>,
{
    let dtx = Dtx::new(Arc::new(Tc::new(store, TcOptions::default())), DtxOptions::default());
    let mut at = Vec::new();
    for (number, pool) in pools.into_iter().enumerate() {
        at.push(At::new(format!("stock-{number}"), pool, &dtx, AtOptions::default()).await.unwrap());
    }
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    tracker.spawn({
        let (dtx, shutdown) = (dtx.clone(), shutdown.clone());
        async move { dtx.work(shutdown).await }
    });
    tracker.close();
    let client = |_| Branches { dtx: dtx.clone(), at: at.clone(), seed: setting.seed, job };
    World::new((0..setting.clients).map(client))
        .rest(move || {
            let dtx = dtx.clone();
            async move { undone(&dtx).await }
        })
        .closing(async move {
            shutdown.cancel();
            tracker.wait().await;
        })
}

/// Until no branch waits for its second phase.
async fn undone(dtx: &Dtx) {
    while !dtx.undo_rows().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn sqlite_memory(setting: Setting) -> World {
    let (folder, pool) = sqlite::stock().await;
    world(setting, Job::ONE, vec![pool], Arc::new(MemoryStore::default())).await.keep(folder)
}

pub(super) async fn sqlite_file(setting: Setting) -> World {
    let (folder, pool) = sqlite::stock().await;
    let store = SqlStore::<Sqlite>::open(folder.path().join("tc.db")).await.unwrap();
    world(setting, Job::ONE, vec![pool], Arc::new(store)).await.keep(folder)
}

pub(super) async fn postgres_memory(setting: Setting, job: Job) -> World {
    let (places, pools) = far::stocks(setting, job).await;
    world(setting, job, pools, Arc::new(MemoryStore::default())).await.keep(places)
}

/// The coordinator in a database of its own on the same server, so that it takes of the same disk and processors.
pub(super) async fn postgres_postgres(setting: Setting, job: Job) -> World {
    let (places, pools) = far::stocks(setting, job).await;
    let home = Place::new(job.trip).await;
    let store = SqlStore::<Postgres>::new(bare::postgres_pool(home.url(), setting).await).await.unwrap();
    world(setting, job, pools, Arc::new(store)).await.keep(places).keep(home)
}
