//! A delivery of the embedded broker.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use onceward_backend::{
    BackendError,
    internal::{begin, commit},
};

use super::{Shared, item};
use crate::{Error, broker::Delivery, ident, message::Envelope, store::row};

/// `id, message_id, topic, msg_key, headers, payload, origin, enqueued_at, deliveries, failures`
pub(super) type ItemRow = (i64, String, String, Option<String>, String, Vec<u8>, Option<String>, i64, i64, i64);

pub(super) struct SqliteDelivery {
    shared: Arc<Shared>,
    queue: String,
    item: i64,
    envelope: Envelope,
    deliveries: i64,
    failures: u32,
}

impl SqliteDelivery {
    /// Reads a row as it was before this delivery.
    pub(super) fn read(shared: Arc<Shared>, queue: &str, row: ItemRow) -> Result<Self, Error> {
        let (item, id, topic, key, headers, payload, stood, at, deliveries, failures) = row;
        let envelope = item::envelope((id, topic, key, headers, payload, stood, at))?;
        let (queue, failures) = (queue.to_owned(), row::attempts(failures));
        Ok(Self { shared, queue, item, envelope, deliveries: deliveries + 1, failures })
    }

    async fn put_back(&self, after: Duration, failed: i64) -> Result<(), Error> {
        let back = self
            .shared
            .sql
            .sql(
                "update mq_queue set ready_at = {now} + ?, leased_by = '', failures = failures + ? \
                 where id = ? and deliveries = ?",
            )
            .bind(ident::micros(after))
            .bind(failed)
            .bind(self.item)
            .bind(self.deliveries)
            .execute(&mut self.shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        if back == 1 { Ok(()) } else { Err(Error::LeaseLost) }
    }
}

impl fmt::Debug for SqliteDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDelivery")
            .field("queue", &self.queue)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Delivery for SqliteDelivery {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn failures(&self) -> u32 {
        self.failures
    }

    fn deliveries(&self) -> u32 {
        row::attempts(self.deliveries)
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        let acked = self
            .shared
            .sql
            .sql("delete from mq_queue where id = ? and deliveries = ?")
            .bind(self.item)
            .bind(self.deliveries)
            .execute(&mut self.shared.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        if acked == 1 { Ok(()) } else { Err(Error::LeaseLost) }
    }

    async fn retry(self: Box<Self>, after: Duration, _reason: &str) -> Result<(), Error> {
        self.put_back(after, 1).await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.put_back(Duration::ZERO, 0).await
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), Error> {
        let mut tx = begin(&self.shared.pool).await?;
        let parked = self
            .shared
            .sql
            .sql(
                "insert into mq_queue_dead (reason, dead_at, queue_name, message_id, topic, msg_key, headers, payload, \
                 origin, enqueued_at, failures) \
                 select ?, {now}, queue_name, message_id, topic, msg_key, headers, payload, origin, enqueued_at, \
                 failures + 1 from mq_queue where id = ? and deliveries = ?",
            )
            .bind(reason)
            .bind(self.item)
            .bind(self.deliveries)
            .execute(&mut tx)
            .await?;
        if parked == 0 {
            return Err(Error::LeaseLost);
        }
        self.shared.sql.sql("delete from mq_queue where id = ?").bind(self.item).execute(&mut tx).await?;
        Ok(commit(tx).await?)
    }
}
