//! A local transaction on SQLite.

use async_trait::async_trait;
use onceward_backend::sqlite;
use sqlx::SqlitePool;
use tempfile::TempDir;

use super::{Job, ROWS, TABLE, UPDATE};
use crate::case::{Client, Setting, World};

/// A file with the table, opened as services open theirs.
pub(super) async fn stock() -> (TempDir, SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite::open(folder.path().join("stock.db")).await.unwrap();
    sqlx::query(TABLE).execute(&pool).await.unwrap();
    let fill = "insert into stock with recursive n(id) as (select 0 union all select id + 1 from n where id + 1 < $1) \
                select id, 1000000, 'tea-' || id from n";
    sqlx::query(fill).bind(i64::try_from(ROWS).unwrap()).execute(&pool).await.unwrap();
    (folder, pool)
}

struct Plain {
    pool: SqlitePool,
    seed: u64,
}

pub(super) async fn plain(setting: Setting) -> World {
    let (folder, pool) = stock().await;
    World::new([Plain { pool, seed: setting.seed }]).keep(folder)
}

#[async_trait]
impl Client for Plain {
    async fn turn(&self, turn: u64) -> u64 {
        let mut tx = self.pool.begin_with("begin immediate").await.unwrap();
        for id in Job::ONE.ids(self.seed, turn) {
            sqlx::query(UPDATE).bind(id).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        1
    }
}
