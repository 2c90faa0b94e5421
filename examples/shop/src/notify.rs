//! Notifications: one per order, sent by a consumer with an inbox.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::{BackendError, Db, Migrations};
use onceward_reliable_mq::{Broker, Consumer, Envelope, Error, HandlerError, Inbox, MessageId, Subscription, Tx};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::now;
use crate::tables::Tables;

/// Tables of the notification service.
pub const TABLES: Migrations = Migrations::new("shop-notifications", &[(1, include_str!("../sql/notify.sql"))]);

/// The topic of confirmed orders.
pub const TOPIC: &str = "orders.confirmed";
/// The queue that this service reads.
pub const QUEUE: &str = "notify";

/// What the order tells the world.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: String,
    /// Whose it is.
    pub user_id: String,
    /// What was charged, in minor units.
    pub total: i64,
}

/// The queue and its topic.
pub fn subscription() -> Subscription {
    Subscription::new(QUEUE).topic(TOPIC)
}

/// What was sent to whom.
#[async_trait]
pub trait Notices: Debug + Send + Sync + 'static {
    /// True once the user was told of the order.
    async fn was_sent(&self, order: &str) -> Result<bool, BackendError>;

    /// How many notifications each order has, for the books.
    async fn counts(&self) -> Result<BTreeMap<String, i64>, BackendError>;

    /// The one who takes confirmed orders off the broker and sends their notifications.
    async fn sender(&self, broker: Arc<dyn Broker>) -> Result<Arc<dyn Sender>, Error>;

    /// Writes a message down as handled that never was: when it comes again it is acknowledged unread. False if it was handled.
    async fn waive(&self, id: &MessageId) -> Result<bool, Error>;

    /// Fails if notifications cannot be read now.
    async fn health(&self) -> Result<(), BackendError>;
}

/// A [`Consumer`], on whatever database.
#[async_trait]
pub trait Sender: Debug + Send + Sync + 'static {
    /// Sends until `stop`.
    async fn run(&self, stop: CancellationToken);

    /// Sends what the broker holds, but no longer than `within`.
    async fn drain(&self, within: Duration) -> Result<(), Error>;
}

#[async_trait]
impl<D: Db> Sender for Consumer<D> {
    async fn run(&self, stop: CancellationToken) {
        Self::run(self, stop).await;
    }

    async fn drain(&self, within: Duration) -> Result<(), Error> {
        Self::drain(self, within).await.map(drop)
    }
}

/// Notifications in a database.
#[derive(Debug)]
pub struct SqlNotices<D: Db>(Arc<Tables<D>>);

impl<D: Db> SqlNotices<D> {
    /// Notifications in these tables.
    pub fn new(tables: Tables<D>) -> Self {
        Self(Arc::new(tables))
    }
}

#[async_trait]
impl<D: Db> Notices for SqlNotices<D> {
    async fn was_sent(&self, order: &str) -> Result<bool, BackendError> {
        let sent = self.0.sql("select id from notifications where order_id = ? limit 1").bind(order);
        let sent: Option<(i64,)> = sent.fetch_optional(&mut self.0.conn().await?).await?;
        Ok(sent.is_some())
    }

    async fn counts(&self) -> Result<BTreeMap<String, i64>, BackendError> {
        let counts = self.0.sql("select order_id, count(*) from notifications group by order_id");
        let counts: Vec<(String, i64)> = counts.fetch_all(&mut self.0.conn().await?).await?;
        Ok(counts.into_iter().collect())
    }

    async fn sender(&self, broker: Arc<dyn Broker>) -> Result<Arc<dyn Sender>, Error> {
        let inbox = Inbox::new(self.0.pool().clone());
        inbox.migrate().await?;
        let tables = Arc::clone(&self.0);
        let send = move |tx, message| {
            let tables = Arc::clone(&tables);
            async move { send(&tables, tx, message).await }
        };
        Ok(Arc::new(Consumer::new(broker, subscription(), inbox, send)))
    }

    async fn waive(&self, id: &MessageId) -> Result<bool, Error> {
        let inbox = Inbox::new(self.0.pool().clone());
        let mut conn = inbox.pool().acquire().await.map_err(BackendError::from)?;
        inbox.first_tx(&mut conn, QUEUE, id).await
    }

    async fn health(&self) -> Result<(), BackendError> {
        let look = self.0.sql("select id from notifications limit 1");
        look.fetch_optional::<(i64,)>(&mut self.0.conn().await?).await.map(drop)
    }
}

/// "Sends" a notification: writes it down, in the transaction that also remembers the message as handled. The delivery is
/// repeated if the message cannot be read or the row not be written.
async fn send<D: Db>(tables: &Tables<D>, mut tx: Tx<D>, message: Envelope) -> Result<(), HandlerError> {
    let order: OrderConfirmed = message.json()?;
    let body =
        format!("Thank you. Your order {} over {} is confirmed.", order.order_id, crate::pages::money(order.total));
    tables
        .sql("insert into notifications (order_id, user_id, body, sent_at) values (?, ?, ?, ?)")
        .bind(&order.order_id)
        .bind(&order.user_id)
        .bind(&body)
        .bind(now())
        .execute(&mut tx)
        .await?;
    Ok(())
}
