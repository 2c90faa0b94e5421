//! Where the service keeps its tables: a file of its own, or a database at a server.

use std::path::Path;

use onceward_backend::{
    Db, sqlite,
    sqlx::{Pool, Sqlite},
};

pub trait Place: Db {
    type Guard;

    /// A database without tables: its URL, and what keeps it.
    async fn fresh(folder: &Path) -> (String, Self::Guard);

    async fn open(url: &str) -> Pool<Self>;
}

impl Place for Sqlite {
    type Guard = ();

    async fn fresh(folder: &Path) -> (String, ()) {
        (folder.join("service.db").to_str().unwrap().to_owned(), ())
    }

    async fn open(url: &str) -> Pool<Self> {
        sqlite::open(url).await.unwrap()
    }
}

#[cfg(feature = "test-postgres")]
impl Place for onceward_backend::sqlx::Postgres {
    type Guard = testkit::Lent;

    async fn fresh(_: &Path) -> (String, Self::Guard) {
        let database = testkit::postgres::database().await;
        (database.url().to_owned(), database)
    }

    async fn open(url: &str) -> Pool<Self> {
        Pool::connect(url).await.unwrap()
    }
}

#[cfg(feature = "test-mysql")]
impl Place for onceward_backend::sqlx::MySql {
    type Guard = testkit::Lent;

    async fn fresh(_: &Path) -> (String, Self::Guard) {
        let database = testkit::mysql::database().await;
        (database.url().to_owned(), database)
    }

    async fn open(url: &str) -> Pool<Self> {
        Pool::connect(url).await.unwrap()
    }
}
