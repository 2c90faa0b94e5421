//! One updated row as a branch of a global transaction, beside the same update in a local transaction.
//!
//! The second phase is included: the worker runs beside the clients, and a round ends when every undo record is gone.

mod at;
mod seata;

use async_trait::async_trait;
use onceward_backend::sqlite;
use sqlx::SqlitePool;
use tempfile::TempDir;

use crate::case::{Case, Client, Setting, Side, World};

/// On SQLite, where one client is as many as can write, and on PostgreSQL.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "one-statement branch; SQLite",
            vec![
                Side::new("plain transaction", plain_sqlite),
                Side::new("AT, coordinator in memory", at::sqlite_memory),
                Side::new("AT, coordinator in a file", at::sqlite_file),
            ],
        )
        .at_most(1),
        Case::new(
            "one-statement branch; PostgreSQL",
            vec![
                Side::new("plain transaction", seata::plain),
                Side::new("Seata's statement sequence", seata::sequence),
                Side::new("AT, coordinator in memory", at::postgres_memory),
                Side::new("AT, coordinator in PostgreSQL", at::postgres_postgres),
            ],
        )
        .rival(1),
    ]
}

/// How many rows there are; each change takes one by chance.
const ROWS: u64 = 10_000;
const UPDATE: &str = "update stock set quantity = quantity - 1 where id = $1";
const TABLE: &str = "create table stock (id bigint primary key, quantity bigint not null, name text not null)";

/// The row of this turn.
fn row(seed: u64, turn: u64) -> i64 {
    i64::try_from(testkit::Rng::new(seed ^ turn.rotate_left(32)).below(ROWS)).unwrap_or_default()
}

/// A file with the table, opened as services open theirs.
async fn stock() -> (TempDir, SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite::open(folder.path().join("stock.db")).await.unwrap();
    sqlx::query(TABLE).execute(&pool).await.unwrap();
    let fill = "insert into stock with recursive n(id) as (select 0 union all select id + 1 from n where id + 1 < $1) \
                select id, 1000000, 'tea-' || id from n";
    sqlx::query(fill).bind(i64::try_from(ROWS).unwrap()).execute(&pool).await.unwrap();
    (folder, pool)
}

struct PlainSqlite {
    pool: SqlitePool,
    seed: u64,
}

async fn plain_sqlite(setting: Setting) -> World {
    let (folder, pool) = stock().await;
    World::new([PlainSqlite { pool, seed: setting.seed }]).keep(folder)
}

#[async_trait]
impl Client for PlainSqlite {
    async fn turn(&self, turn: u64) -> u64 {
        let mut tx = self.pool.begin_with("begin immediate").await.unwrap();
        let done = sqlx::query(UPDATE).bind(row(self.seed, turn)).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        done.rows_affected()
    }
}
