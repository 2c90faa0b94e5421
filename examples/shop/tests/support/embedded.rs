//! Where the tests' shops keep what they keep: SQLite files in a folder.

use std::path::Path;
use std::str::FromStr;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use testkit::Launch;

use crate::support::{folder, program};

/// `--fresh` leaves nothing of the shop.
pub const FRESH_IS_EMPTY: bool = true;

/// A folder that goes with the test.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(folder())
    }

    /// The data folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program with all that names this place but `--data`.
    pub fn launch(&self) -> Launch {
        program()
    }

    /// How many notifications were sent. For a shop that rests.
    pub async fn notifications(&self) -> i64 {
        let mut connection = self.open("notify").await;
        let count = sqlx::query_scalar("select count(*) from notifications").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        count
    }

    /// Looks at this place with one row of a database changed. For a shop that has stopped.
    pub async fn with_damage(&self, database: &str, statement: &'static str, look: impl AsyncFnOnce(&Self)) {
        let damaged = Self::new();
        copy(self.path(), damaged.path());
        damaged.damage(database, statement).await;
        look(&damaged).await;
    }

    /// Changes one row of a database for good.
    pub async fn damage(&self, database: &str, statement: &'static str) {
        let mut connection = self.open(database).await;
        let done = sqlx::query(statement).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
        connection.close().await.unwrap();
    }

    /// Looks at this place with one database that is not there, and with one that is none. For a shop that has stopped.
    pub async fn without(&self, database: &str, look: impl AsyncFn(&Self)) {
        for content in [None, Some("this is no database, however long one reads it".repeat(200))] {
            let broken = Self::new();
            copy(self.path(), broken.path());
            let store = broken.path().join(format!("{database}.db"));
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(broken.path().join(format!("{database}.db{end}")));
            }
            match &content {
                None => std::fs::remove_file(&store).unwrap(),
                Some(content) => std::fs::write(&store, content).unwrap(),
            }
            look(&broken).await;
        }
    }

    async fn open(&self, database: &str) -> SqliteConnection {
        let url = format!("sqlite://{}", self.path().join(format!("{database}.db")).display());
        SqliteConnectOptions::from_str(&url).unwrap().connect().await.unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}
