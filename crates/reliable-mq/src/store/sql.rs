//! The store on SQL, written once for PostgreSQL, MariaDB/MySQL and SQLite.
//!
//! Every message is one row in one of the tables `mq_held`, `mq_hot`, `mq_delayed` and `mq_dead`; there is no status
//! column, and what was sent is deleted. Isolation: READ COMMITTED is enough for each statement here; SQLite serialises.

mod batch;
mod enqueue;
mod find;
mod inspect;
mod lanes;
mod many;
#[cfg(feature = "postgres")]
mod notify;
mod pause;
mod read;
pub(crate) mod row;
mod settle;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use onceward_backend::{
    Conn, Db, Dialect, Migrations,
    internal::{Sql, begin, commit},
};
use sqlx::{Executor, Pool};
use tokio::sync::Notify;

use super::{
    Attempt, BatchRow, Budget, Counts, DeadLetter, Due, Fetched, History, LaneInfo, Lease, LogRow, MessageFilter,
    MessageInfo, PausedTopic, Queued, Reach, RelayInfo, Settled, Store, StoreCapabilities, TopicInfo, Verdict, Writers,
};
use crate::{
    Error,
    message::{Envelope, Message, MessageId},
};

/// The tables of this crate in a database of the service.
pub struct SqlStore<D: Db> {
    pool: Pool<D>,
    sql: Arc<Sql<D>>,
    bells: Arc<Bells>,
}

/// Who is to hear that something was enqueued here.
#[derive(Default)]
struct Bells {
    relay: Arc<Notify>,
    #[cfg(feature = "postgres")]
    announcer: Notify,
}

impl<D: Db> SqlStore<D> {
    /// A store in this database; its tables are made by [`migrate`](Self::migrate).
    #[must_use]
    pub fn new(pool: Pool<D>) -> Self {
        Self { pool, sql: Arc::new(Sql::new()), bells: Arc::default() }
    }

    /// A store whose tables others keep: looked at, neither made nor changed. For a program that looks into an outbox.
    ///
    /// # Errors
    /// [`Error::Backend`], of class `Refused` if the database holds no such tables, or those of another version.
    pub async fn existing(pool: Pool<D>) -> Result<Self, Error> {
        migrations(D::DIALECT).verify(&pool).await?;
        Ok(Self::new(pool))
    }

    /// Makes the tables or brings them up to date; harmless when repeated.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn migrate(&self) -> Result<(), Error> {
        migrations(D::DIALECT).run(&self.pool).await?;
        let mut tx = begin(&self.pool).await?;
        for lane in 0..lanes(D::DIALECT) {
            self.sql
                .sql("{insert_ignore} mq_shard (shard, owner, epoch, until_at) values (?, '', 0, 0) {or_ignore}")
                .bind(i64::from(lane))
                .execute(&mut tx)
                .await?;
        }
        Ok(commit(tx).await?)
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<D> {
        &self.pool
    }

    /// Tells the relay of this process, and others' by way of whoever announces, that there may be something to do.
    pub(crate) fn ring(&self) {
        self.bells.relay.notify_one();
        #[cfg(feature = "postgres")]
        self.bells.announcer.notify_one();
    }

    pub(crate) fn sql(&self) -> &Arc<Sql<D>> {
        &self.sql
    }
}

impl<D: Db> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sql: Arc::clone(&self.sql), bells: Arc::clone(&self.bells) }
    }
}

impl<D: Db> fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("database", &D::DIALECT.name()).finish_non_exhaustive()
    }
}

#[async_trait]
impl<D: Db> Store for SqlStore<D> {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::new(lanes(D::DIALECT), true)
    }

    fn arrivals(&self) -> Arc<Notify> {
        Arc::clone(&self.bells.relay)
    }

    async fn enqueue(&self, messages: &[Message]) -> Result<Vec<MessageId>, Error> {
        let mut tx = begin(&self.pool).await?;
        let ids = self.enqueue_all_tx(&mut tx, messages).await?;
        commit(tx).await?;
        self.ring();
        Ok(ids)
    }

    async fn lease(&self, lane: u32, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        self.take_lane(lane, owner, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, Error> {
        self.keep_lane(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.give_lane(lease).await
    }

    async fn heartbeat(&self, owner: &str, ttl: Duration) -> Result<(), Error> {
        self.say_alive(owner, ttl).await
    }

    async fn leave(&self, owner: &str) -> Result<(), Error> {
        self.say_goodbye(owner).await
    }

    async fn relays(&self) -> Result<Vec<RelayInfo>, Error> {
        self.find_relays().await
    }

    async fn fetch(&self, from: &[Reach], budget: Budget) -> Result<Fetched, Error> {
        self.read_hot(from, budget).await
    }

    async fn writers(&self) -> Result<Option<Writers>, Error> {
        self.find_writers().await
    }

    async fn due(&self, leases: &[Lease], budget: Budget) -> Result<Due, Error> {
        self.find_due(leases, budget).await
    }

    async fn settle(
        &self,
        leases: &[Lease],
        history: History,
        settled: &[(&Queued, Verdict)],
    ) -> Result<Settled, Error> {
        self.settle_all(leases, history, settled).await
    }

    async fn counts(&self) -> Result<Counts, Error> {
        self.count().await
    }

    async fn log(&self, limit: usize) -> Result<Vec<LogRow>, Error> {
        self.read_log(limit).await
    }

    async fn attempts(&self, id: &MessageId) -> Result<Vec<Attempt>, Error> {
        self.read_attempts(id).await
    }

    async fn batches(&self, limit: usize) -> Result<Vec<BatchRow>, Error> {
        self.read_batches(limit).await
    }

    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.read_dead(limit).await
    }

    async fn replay(&self, id: &MessageId, window: Option<Duration>) -> Result<bool, Error> {
        self.replay_dead(id, window).await
    }

    async fn release_key(&self, key: &str) -> Result<u64, Error> {
        self.unblock(key).await
    }

    async fn pause(&self, topic: &str) -> Result<bool, Error> {
        self.hold_back(topic).await
    }

    async fn resume(&self, topic: &str) -> Result<bool, Error> {
        self.let_go(topic).await
    }

    async fn paused(&self) -> Result<Vec<PausedTopic>, Error> {
        self.find_paused().await
    }

    async fn purge_history(&self, older: Duration, limit: usize) -> Result<u64, Error> {
        self.purge(older, limit).await
    }

    async fn purge_dead(&self, older: Duration, limit: usize) -> Result<u64, Error> {
        self.purge_letters(older, limit).await
    }

    async fn resend(&self, id: &MessageId) -> Result<bool, Error> {
        self.make_due(id).await
    }

    async fn messages(&self, filter: &MessageFilter) -> Result<Vec<MessageInfo>, Error> {
        self.find_messages(filter).await
    }

    async fn message(&self, id: &MessageId) -> Result<Option<Envelope>, Error> {
        self.find_message(id).await
    }

    async fn lanes(&self) -> Result<Vec<LaneInfo>, Error> {
        self.find_lanes().await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        self.find_topics().await
    }
}

/// A bare connection, past any capture.
pub(crate) struct Uncaptured<'c, D: Db>(pub(crate) &'c mut D::Connection);

impl<D: Db> Conn<D> for Uncaptured<'_, D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        D::executor(self.0)
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        self.0
    }
}

/// How many lanes the messages of one database are spread over. Stored rows depend on it.
const fn lanes(dialect: Dialect) -> u32 {
    match dialect {
        // One writer, so commits are in the order of ids and a second lane would only halve the batches.
        Dialect::Sqlite => 1,
        _ => 8,
    }
}

/// The tables of this version as a script, for databases in which services may make none: run once, where none of them is,
/// it leaves what [`SqlStore::migrate`] leaves.
#[must_use]
pub fn schema(dialect: Dialect) -> String {
    let mut script = migrations(dialect).script(dialect);
    for lane in 0..lanes(dialect) {
        script.push_str(&format!("insert into mq_shard (shard, owner, epoch, until_at) values ({lane}, '', 0, 0);\n"));
    }
    script
}

const fn migrations(dialect: Dialect) -> Migrations {
    const INIT: &str = include_str!("../../sql/0001_init.sql");
    const LOG: &str = include_str!("../../sql/0003_log.sql");
    const BATCHES: &str = include_str!("../../sql/0004_batches.sql");
    const PAUSED: &str = include_str!("../../sql/0005_paused.sql");
    const RELAY: &str = include_str!("../../sql/0006_relay.sql");
    const NAME: &str = "reliable-mq";
    match dialect {
        Dialect::Postgres => {
            const {
                const HOT: &str = include_str!("../../sql/0002_hot_postgres.sql");
                const PLANS: &str = include_str!("../../sql/0007_plans_postgres.sql");
                const HEADER: &str = include_str!("../../sql/0008_header_postgres.sql");
                Migrations::new(
                    NAME,
                    &[(1, INIT), (2, HOT), (3, LOG), (4, BATCHES), (5, PAUSED), (6, RELAY), (7, PLANS), (8, HEADER)],
                )
            }
        }
        Dialect::MySql => {
            const {
                const HOT: &str = include_str!("../../sql/0002_hot_mysql.sql");
                Migrations::new(NAME, &[(1, INIT), (2, HOT), (3, LOG), (4, BATCHES), (5, PAUSED), (6, RELAY)])
            }
        }
        _ => {
            const {
                const HOT: &str = include_str!("../../sql/0002_hot_sqlite.sql");
                Migrations::new(NAME, &[(1, INIT), (2, HOT), (3, LOG), (4, BATCHES), (5, PAUSED), (6, RELAY)])
            }
        }
    }
}
