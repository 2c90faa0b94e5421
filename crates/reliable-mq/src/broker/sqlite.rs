//! The embedded broker: queues in a SQLite file. Accepted means stored.

mod delivery;
mod item;
mod options;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use onceward_backend::{
    BackendError, Migrations,
    internal::{Sql, begin, commit},
};
use sqlx::{Sqlite, SqlitePool};
use tokio::sync::Notify;

use self::delivery::{ItemRow, SqliteDelivery};
pub use self::options::SqliteBrokerOptions;
use super::{
    Broker, BrokerCapabilities, DeadDelivery, Delivery, Depth, Durability, Health, Outcome, Subscription, bells::Bells,
    origin,
};
use crate::{
    Error, ident,
    message::{Envelope, MessageId},
    store::row,
};

const MIGRATIONS: Migrations =
    Migrations::new("reliable-mq-broker", &[(1, include_str!("../../sql/broker_0001_init.sql"))]);

/// Queues in a SQLite database, for services that want no broker process.
///
/// Give it a file of its own: in the service's file every publish would wait for the service's writers. Several processes
/// may share the file; consumers in other processes than the relay's find messages by polling.
#[derive(Clone)]
pub struct SqliteBroker {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pool: SqlitePool,
    sql: Sql<Sqlite>,
    options: SqliteBrokerOptions,
    instance: String,
    bells: Bells,
}

impl SqliteBroker {
    /// Opens the broker in this database and makes its tables. Deliveries that were leased under the same
    /// [instance](SqliteBrokerOptions::instance) are ready again at once: their process is dead.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn open(pool: SqlitePool, options: SqliteBrokerOptions) -> Result<Self, Error> {
        MIGRATIONS.run(&pool).await?;
        let instance = options.instance.clone().unwrap_or_else(ident::instance);
        let shared = Shared { pool, sql: Sql::new(), options, instance, bells: Bells::default() };
        let mut tx = begin(&shared.pool).await?;
        let orphans = shared
            .sql
            .sql("update mq_queue set ready_at = 0, leased_by = '' where leased_by = ?")
            .bind(&shared.instance)
            .execute(&mut tx)
            .await?;
        commit(tx).await?;
        if orphans > 0 {
            tracing::info!(orphans, "deliveries of the previous process are ready again");
        }
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn store(&self, batch: &[Envelope]) -> Result<Vec<Outcome>, Error> {
        let mut tx = begin(&self.shared.pool).await?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            let queues = self
                .shared
                .sql
                .sql(
                    "insert into mq_queue (queue_name, message_id, topic, msg_key, headers, payload, origin, enqueued_at, \
                     ready_at, leased_by, deliveries, failures) \
                     select queue_name, ?, topic, ?, ?, ?, ?, ?, 0, '', 0, 0 from mq_binding where topic = ?",
                )
                .bind(envelope.id.as_str())
                .bind(envelope.key())
                .bind(&row::write_headers(envelope)?)
                .bind(envelope.payload().as_ref())
                .bind(envelope.origin.map(origin::write).as_deref())
                .bind(envelope.enqueued_at)
                .bind(envelope.topic())
                .execute(&mut tx)
                .await?;
            outcomes.push(if queues > 0 { Outcome::Accepted } else { Outcome::Unroutable });
        }
        commit(tx).await?;
        Ok(outcomes)
    }

    async fn check_queue(&self, queue: &str) -> Result<(), Error> {
        let known: Option<(i64,)> = self
            .shared
            .sql
            .sql("select 1 from mq_binding where queue_name = ? limit 1")
            .bind(queue)
            .fetch_optional(&mut self.shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        known.map(|_| ()).ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(Durability::Stored)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        match self.store(batch).await {
            Ok(outcomes) => {
                self.shared.bells.ring_all();
                outcomes
            }
            Err(error) => vec![Outcome::Unknown { reason: error.to_string() }; batch.len()],
        }
    }

    async fn health(&self) -> Health {
        // Reading is not enough: what fails in a full or locked file is the write.
        let probe = async { commit(begin::<Sqlite>(&self.shared.pool).await?).await };
        match probe.await {
            Ok(()) => Health::Up,
            Err(error) => Health::Down(error.to_string()),
        }
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let mut tx = begin(&self.shared.pool).await?;
        for topic in subscription.topics() {
            self.shared
                .sql
                .sql("{insert_ignore} mq_binding (topic, queue_name) values (?, ?) {or_ignore}")
                .bind(topic)
                .bind(subscription.queue())
                .execute(&mut tx)
                .await?;
        }
        Ok(commit(tx).await?)
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        let bound: Option<(i64,)> = self
            .shared
            .sql
            .sql("select 1 from mq_binding where topic = ? limit 1")
            .bind(topic)
            .fetch_optional(&mut self.shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        Ok(bound.is_some())
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let shared = &self.shared;
        // Looked up first: an idle consumer must cost the writers no lock per poll.
        let ready: Option<(i64,)> = shared
            .sql
            .sql("select id from mq_queue where queue_name = ? and ready_at <= {now} limit 1")
            .bind(queue)
            .fetch_optional(&mut shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        if ready.is_none() {
            self.check_queue(queue).await?;
            return Ok(Vec::new());
        }
        let mut tx = begin(&shared.pool).await?;
        let rows: Vec<ItemRow> = shared
            .sql
            .sql(
                "select id, message_id, topic, msg_key, headers, payload, origin, enqueued_at, deliveries, failures \
                 from mq_queue where queue_name = ? and ready_at <= {now} order by id limit ?",
            )
            .bind(queue)
            .bind(row::limit(max))
            .fetch_all(&mut tx)
            .await?;
        for (id, ..) in &rows {
            shared
                .sql
                .sql(
                    "update mq_queue set ready_at = {now} + ?, leased_by = ?, deliveries = deliveries + 1 where id = ?",
                )
                .bind(ident::micros(shared.options.visibility))
                .bind(&shared.instance)
                .bind(*id)
                .execute(&mut tx)
                .await?;
        }
        let deliveries = rows.into_iter().map(|row| {
            let delivery = SqliteDelivery::read(Arc::clone(shared), queue, row)?;
            Ok(Box::new(delivery) as Box<dyn Delivery>)
        });
        let deliveries = deliveries.collect::<Result<_, Error>>()?;
        commit(tx).await?;
        Ok(deliveries)
    }

    fn arrivals(&self, queue: &str) -> Arc<Notify> {
        self.shared.bells.of(queue)
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        self.check_queue(queue).await?;
        let (ready, leased, delayed, dead): (i64, i64, i64, i64) = self
            .shared
            .sql
            .sql(
                "select count(case when ready_at <= {now} then 1 end), \
                 count(case when ready_at > {now} and leased_by <> '' then 1 end), \
                 count(case when ready_at > {now} and leased_by = '' then 1 end), \
                 (select count(*) from mq_queue_dead where queue_name = ?) from mq_queue where queue_name = ?",
            )
            .bind(queue)
            .bind(queue)
            .fetch_one(&mut self.shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        Ok(Depth::new(row::count(ready), row::count(delayed), row::count(leased), row::count(dead)))
    }

    async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        self.check_queue(queue).await?;
        type Row = (String, String, Option<String>, String, Vec<u8>, Option<String>, i64, i64, String);
        let rows: Vec<Row> = self
            .shared
            .sql
            .sql(
                "select message_id, topic, msg_key, headers, payload, origin, enqueued_at, failures, reason \
                 from mq_queue_dead where queue_name = ? order by id limit ?",
            )
            .bind(queue)
            .bind(row::limit(limit))
            .fetch_all(&mut self.shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let dead = rows.into_iter().map(|(id, topic, key, headers, payload, stood, at, failures, reason)| {
            let envelope = item::envelope((id, topic, key, headers, payload, stood, at))?;
            Ok(DeadDelivery::new(envelope, row::attempts(failures), reason))
        });
        dead.collect()
    }

    async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        self.check_queue(queue).await?;
        let mut tx = begin(&self.shared.pool).await?;
        let dead: Option<(i64,)> = self
            .shared
            .sql
            .sql("select min(id) from mq_queue_dead where queue_name = ? and message_id = ? having min(id) is not null")
            .bind(queue)
            .bind(id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        let Some((row,)) = dead else { return Ok(false) };
        self.shared
            .sql
            .sql(
                "insert into mq_queue (queue_name, message_id, topic, msg_key, headers, payload, origin, enqueued_at, \
                 ready_at, leased_by, deliveries, failures) \
                 select queue_name, message_id, topic, msg_key, headers, payload, origin, enqueued_at, 0, '', 0, 0 \
                 from mq_queue_dead where id = ?",
            )
            .bind(row)
            .execute(&mut tx)
            .await?;
        self.shared.sql.sql("delete from mq_queue_dead where id = ?").bind(row).execute(&mut tx).await?;
        commit(tx).await?;
        self.shared.bells.ring_all();
        Ok(true)
    }

    async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        self.check_queue(queue).await?;
        let delete = self.shared.sql.sql(
            "delete from mq_queue_dead where id = (select min(id) from mq_queue_dead where queue_name = ? and message_id = ?)",
        );
        let mut conn = self.shared.pool.acquire().await.map_err(BackendError::from)?;
        Ok(delete.bind(queue).bind(id.as_str()).execute(&mut conn).await? == 1)
    }
}
