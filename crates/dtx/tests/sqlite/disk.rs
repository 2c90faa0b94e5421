//! Databases in SQLite files.

use std::path::Path;

use onceward_backend::sqlite;
use onceward_dtx::SqlStore;
use sqlx::{Sqlite, SqlitePool};
use tempfile::TempDir;

pub(crate) type Db = Sqlite;

/// The table of accounts, whose ids may be left to the database.
pub(crate) const ACCOUNT: &str =
    "create table account (id integer primary key, owner text not null, balance integer not null)";

/// A statement that spoils an undo record.
pub(crate) const DAMAGE: &str = "update undo_log set rollback_info = x'0102030405060708090a'";

/// The files; a [`World`](crate::world::World) is the process that has them open.
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) async fn pool(&self, name: &str) -> SqlitePool {
        sqlite::open(self.path().join(format!("{name}.db"))).await.unwrap()
    }

    pub(crate) async fn store(&self) -> SqlStore<Sqlite> {
        SqlStore::open(self.path().join("tc.db")).await.unwrap()
    }
}
