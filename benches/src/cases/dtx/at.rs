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
use super::{UPDATE, row, seata, stock};
use crate::case::{Client, Setting, World};

struct Branches<D: AtDb> {
    dtx: Dtx,
    at: At<D>,
    seed: u64,
}

#[async_trait]
impl<D: AtDb> Client for Branches<D>
where
    i64: Type<D> + for<'q> Encode<'q, D>,
{
    async fn turn(&self, turn: u64) -> u64 {
        let id = row(self.seed, turn);
        let work = async |_| {
            let branch = async |mut tx: onceward_dtx::AtTransaction<D>| {
                let done = sqlx::query::<D>(UPDATE).bind(id).execute(&mut *tx).await?;
                Ok::<_, DtxError>(D::rows_affected(&done))
            };
            self.at.branch(branch).await
        };
        self.dtx.run(Options::new("bench"), work).await.unwrap()
    }
}

/// A resource and its coordinator with the worker running.
async fn world<D: AtDb>(setting: Setting, pool: Pool<D>, store: Arc<dyn TcStore>) -> World
where
    i64: Type<D> + for<'q> Encode<'q, D>,
{
    let dtx = Dtx::new(Arc::new(Tc::new(store, TcOptions::default())), DtxOptions::default());
    let at = At::new("stock", pool, &dtx, AtOptions::default()).await.unwrap();
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    tracker.spawn({
        let (dtx, shutdown) = (dtx.clone(), shutdown.clone());
        async move { dtx.work(shutdown).await }
    });
    tracker.close();
    let client = |_| Branches { dtx: dtx.clone(), at: at.clone(), seed: setting.seed };
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
    let (folder, pool) = stock().await;
    world(setting, pool, Arc::new(MemoryStore::default())).await.keep(folder)
}

pub(super) async fn sqlite_file(setting: Setting) -> World {
    let (folder, pool) = stock().await;
    let store = SqlStore::<Sqlite>::open(folder.path().join("tc.db")).await.unwrap();
    world(setting, pool, Arc::new(store)).await.keep(folder)
}

pub(super) async fn postgres_memory(setting: Setting) -> World {
    let (database, pool) = seata::stock(setting).await;
    world(setting, pool, Arc::new(MemoryStore::default())).await.keep(database)
}

/// The coordinator in a database of its own on the same server, so that it takes of the same disk and processors.
pub(super) async fn postgres_postgres(setting: Setting) -> World {
    let (database, pool) = seata::stock(setting).await;
    let (coordinator, store) = bare::postgres(setting).await;
    let store = SqlStore::<Postgres>::new(store).await.unwrap();
    world(setting, pool, Arc::new(store)).await.keep(database).keep(coordinator)
}
