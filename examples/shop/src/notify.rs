//! Notifications: one per order, sent by a consumer with an inbox.

use onceward_backend::{BackendError, Migrations};
use onceward_reliable_mq::{Envelope, HandlerError, Subscription, Tx};
use serde::{Deserialize, Serialize};
use sqlx::Pool;

use crate::{Database, now};

/// Tables of the notification service.
pub const TABLES: Migrations = Migrations::new("shop-notify", &[(1, include_str!("../sql/notify.sql"))]);

/// The topic of confirmed orders.
pub const TOPIC: &str = "orders.confirmed";

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

/// The queue that this service reads.
pub fn subscription() -> Subscription {
    Subscription::new("notify").topic(TOPIC)
}

/// "Sends" a notification: writes it down, in the transaction that also remembers the message as handled.
///
/// # Errors
/// If the message cannot be read or the row not be written; the delivery is then repeated.
pub async fn handle(mut tx: Tx<Database>, message: Envelope) -> Result<(), HandlerError> {
    let order: OrderConfirmed = message.json()?;
    let body =
        format!("Thank you. Your order {} over {} is confirmed.", order.order_id, crate::pages::money(order.total));
    sqlx::query("insert into notifications (order_id, user_id, body, sent_at) values (?, ?, ?, ?)")
        .bind(&order.order_id)
        .bind(&order.user_id)
        .bind(body)
        .bind(now())
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// True once the user was told of the order.
///
/// # Errors
/// If the store does not answer.
pub async fn was_sent(pool: &Pool<Database>, order: &str) -> Result<bool, BackendError> {
    let sent: Option<i64> =
        sqlx::query_scalar("select id from notifications where order_id = ?").bind(order).fetch_optional(pool).await?;
    Ok(sent.is_some())
}
