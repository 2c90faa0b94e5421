//! The contracts, on SQLite files.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "cases/batches.rs"]
mod batches;
#[path = "cases/sql.rs"]
#[macro_use]
mod cases;
#[path = "cases/plain.rs"]
mod plain;
#[path = "cases/replayed.rs"]
mod replayed;

use std::{sync::Arc, time::Duration};

use onceward_backend::{sqlite, sqlx::Sqlite};
use onceward_reliable_mq::{Broker, Outbox, SqliteBroker, SqliteBrokerOptions, Store};
use tempfile::TempDir;

mod store {
    use super::{Arc, Outbox, Sqlite, Store, TempDir, sqlite};

    async fn make() -> (Arc<dyn Store>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::<Sqlite>::new(sqlite::open(folder.path().join("service.db")).await.unwrap());
        outbox.migrate().await.unwrap();
        outbox.migrate().await.unwrap();
        (outbox.store(), folder)
    }
    onceward_reliable_mq::conformance!(store: make);
}

mod store_on_a_pool_of_one_connection {
    use super::{Arc, Outbox, Sqlite, Store, sqlite};

    async fn make() -> (Arc<dyn Store>, ()) {
        let outbox = Outbox::<Sqlite>::new(sqlite::memory().await.unwrap());
        outbox.migrate().await.unwrap();
        (outbox.store(), ())
    }
    onceward_reliable_mq::conformance!(store: make);
}

mod broker {
    use super::{Arc, Broker, Duration, SqliteBroker, SqliteBrokerOptions, TempDir, sqlite};

    async fn make(visibility: Duration) -> (Arc<dyn Broker>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let pool = sqlite::open(folder.path().join("broker.db")).await.unwrap();
        let options = SqliteBrokerOptions::default().with_visibility(visibility);
        (Arc::new(SqliteBroker::open(pool, options).await.unwrap()), folder)
    }
    onceward_reliable_mq::conformance!(broker: make);

    #[test]
    fn what_the_inbox_may_have_forgotten_is_parked() {
        onceward_reliable_mq::conformance::block_on(async {
            let (broker, _folder) = make(Duration::from_secs(60)).await;
            crate::replayed::a_replay_that_the_inbox_may_have_forgotten_is_parked(broker).await;
        });
    }
}

mod outbox {
    use super::{Duration, Outbox, Sqlite, TempDir, sqlite};
    use crate::plain::{self, Plain, delayed, sql_after};
    use onceward_backend::sqlx::{self, AssertSqlSafe};

    async fn make() -> (Outbox<Sqlite>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::<Sqlite>::new(sqlite::open(folder.path().join("service.db")).await.unwrap());
        outbox.migrate().await.unwrap();
        (outbox, folder)
    }
    sql_cases!(make);

    #[test]
    fn batches_that_overlap_have_one_effect_per_message() {
        let case = crate::batches::batches_that_overlap_have_one_effect_per_message(make);
        onceward_reliable_mq::conformance::block_on(case);
    }

    #[test]
    fn others_enqueue_into_the_order_of_a_key() {
        onceward_reliable_mq::conformance::block_on(async {
            let (outbox, _folder) = make().await;
            let insert = async |plain: Plain<'_>, delay: Option<Duration>| {
                let statement = sql_after("SQLite from 3.42, with");
                let text = delay.map_or_else(|| statement.to_owned(), |delay| delayed(statement, delay));
                let Plain { id, topic, key, headers, payload } = plain;
                let insert =
                    sqlx::query(AssertSqlSafe(text)).bind(id).bind(topic).bind(key).bind(headers).bind(payload);
                insert.execute(outbox.pool()).await.map(drop)
            };
            plain::others_enqueue_into_the_order_of_a_key(&outbox, insert).await;
        });
    }
}
