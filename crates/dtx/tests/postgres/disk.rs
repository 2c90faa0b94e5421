//! Databases at the test server.

use std::collections::BTreeMap;

use onceward_dtx::SqlStore;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use testkit::postgres::{Database, database};
use tokio::sync::Mutex;

pub(crate) type Db = Postgres;

/// A statement that spoils an undo record.
pub(crate) const DAMAGE: &str = "update undo_log set rollback_info = '\\x0102030405060708090a'";

/// The databases; a [`World`](crate::world::World) is the process that is connected to them.
pub(crate) struct Disk(Mutex<BTreeMap<String, Database>>);

impl Disk {
    pub(crate) async fn new() -> Self {
        Self(Mutex::default())
    }

    pub(crate) async fn url(&self, name: &str) -> String {
        let mut made = self.0.lock().await;
        if !made.contains_key(name) {
            made.insert(name.to_owned(), database().await);
        }
        made[name].url().to_owned()
    }

    pub(crate) async fn pool(&self, name: &str) -> PgPool {
        PgPoolOptions::new().max_connections(8).connect(&self.url(name).await).await.unwrap()
    }

    pub(crate) async fn store(&self) -> SqlStore<Postgres> {
        SqlStore::new(self.pool("tc").await).await.unwrap()
    }
}
