//! The coordinator alone: a transaction with one branch and one row lock begins, registers, commits and ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::sqlite;
use onceward_dtx::rm::{Resource, Undone};
use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{Coordinator, Dtx, DtxError, DtxOptions, NewBranch, SqlStore, Tc, TcOptions, TransactionFilter};
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::bare;
use super::far::Place;
use crate::case::{Client, Setting, World};

const TABLE: &str = "create table outcome (xid varchar(64) primary key, status bigint not null)";
const INSERT: &str = "insert into outcome (xid, status) values ($1, 9)";

/// One row, committed by itself.
struct Row<P>(P);

#[async_trait]
impl Client for Row<PgPool> {
    async fn turn(&self, turn: u64) -> u64 {
        sqlx::query(INSERT).bind(format!("{turn:032x}")).execute(&self.0).await.unwrap();
        1
    }
}

#[async_trait]
impl Client for Row<SqlitePool> {
    async fn turn(&self, turn: u64) -> u64 {
        sqlx::query(INSERT).bind(format!("{turn:032x}")).execute(&self.0).await.unwrap();
        1
    }
}

pub(super) async fn postgres_row(setting: Setting) -> World {
    let place = Place::new(Duration::ZERO).await;
    let pool = bare::postgres_pool(place.url(), setting).await;
    sqlx::query(TABLE).execute(&pool).await.unwrap();
    World::new((0..setting.clients).map(|_| Row(pool.clone()))).keep(place)
}

/// A file that waits for the disk with every commit, as the coordinator's does, on one connection: SQLite has one writer.
async fn file() -> (TempDir, SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let made = sqlite::open(folder.path().join("rows.db")).await.unwrap();
    let options = (*made.connect_options()).clone().synchronous(SqliteSynchronous::Full);
    made.close().await;
    (folder, SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap())
}

pub(super) async fn sqlite_row(setting: Setting) -> World {
    let (folder, pool) = file().await;
    sqlx::query(TABLE).execute(&pool).await.unwrap();
    World::new((0..setting.clients).map(|_| Row(pool.clone()))).keep(folder)
}

struct Transactions {
    coordinator: Arc<dyn Coordinator>,
}

#[async_trait]
impl Client for Transactions {
    async fn turn(&self, turn: u64) -> u64 {
        let xid = self.coordinator.begin("bench", Duration::from_secs(60)).await.unwrap();
        let (resource_id, table, key) = ("nothing".to_owned(), "stock".to_owned(), turn.to_string());
        let locks = vec![LockKey { resource_id: resource_id.clone(), table, key }];
        let branch_id = i64::try_from(turn).unwrap();
        self.coordinator.register(&NewBranch { xid: xid.clone(), branch_id, resource_id, locks }).await.unwrap();
        self.coordinator.commit(&xid).await.unwrap();
        1
    }
}

async fn world(setting: Setting, store: Arc<dyn TcStore>) -> World {
    let coordinator: Arc<dyn Coordinator> = Arc::new(Tc::new(store, TcOptions::default()));
    let dtx = Dtx::new(Arc::clone(&coordinator), DtxOptions::default());
    dtx.resources().add(Arc::new(Nothing)).unwrap();
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    tracker.spawn({
        let (dtx, shutdown) = (dtx, shutdown.clone());
        async move { dtx.work(shutdown).await }
    });
    tracker.close();
    World::new((0..setting.clients).map(|_| Transactions { coordinator: Arc::clone(&coordinator) }))
        .rest(move || {
            let coordinator = Arc::clone(&coordinator);
            async move {
                while !coordinator.transactions(&TransactionFilter::default()).await.unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        })
        .closing(async move {
            shutdown.cancel();
            tracker.wait().await;
        })
}

pub(super) async fn postgres(setting: Setting) -> World {
    let place = Place::new(Duration::ZERO).await;
    let store = SqlStore::<Postgres>::new(bare::postgres_pool(place.url(), setting).await).await.unwrap();
    world(setting, Arc::new(store)).await.keep(place)
}

pub(super) async fn sqlite(setting: Setting) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = SqlStore::<Sqlite>::open(folder.path().join("tc.db")).await.unwrap();
    world(setting, Arc::new(store)).await.keep(folder)
}

/// A resource whose second phase is nothing.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Resource for Nothing {
    fn id(&self) -> &str {
        "nothing"
    }

    async fn commit(&self, _: &str, _: i64) -> Result<(), DtxError> {
        Ok(())
    }

    async fn commit_together(&self, branches: &[(&str, i64)]) -> Result<BTreeSet<(String, i64)>, DtxError> {
        Ok(branches.iter().map(|&(xid, branch_id)| (xid.to_owned(), branch_id)).collect())
    }

    async fn rollback(&self, _: &str, _: i64) -> Result<Undone, DtxError> {
        Ok(Undone::Done)
    }
}
