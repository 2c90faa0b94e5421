//! The coordinator's store on PostgreSQL.

use onceward_dtx::SqlStore;
use sqlx::{PgPool, Postgres};
use testkit::Lent;

async fn make() -> (SqlStore<Postgres>, Lent) {
    let database = testkit::postgres::database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    (SqlStore::new(pool).await.unwrap(), database)
}

onceward_dtx::conformance!(make);
