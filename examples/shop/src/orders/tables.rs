//! The order database: its tables, and every statement on them.

use std::fmt::Debug;

use async_trait::async_trait;
use onceward_backend::{BackendError, Migrations};
use onceward_dtx::{At, AtDb};
use onceward_idempotency::TokenId;
use onceward_reliable_mq::{Message, Outbox};

use super::{Bought, NewOrder, Order, OrderError};
use crate::now;
use crate::tables::Tables;

/// Tables of the order database.
pub const TABLES: Migrations = Migrations::new("shop-orders", &[(1, include_str!("../../sql/orders.sql"))]);

/// The status of an order that stands.
pub const CONFIRMED: &str = "confirmed";

/// Where orders are kept. What it answers includes orders whose transaction is not decided.
#[async_trait]
pub trait Orders: Debug + Send + Sync + 'static {
    /// A new user's place in the line of orders.
    async fn open(&self, user: &str) -> Result<(), BackendError>;

    /// The id of the user's newest order, empty before the first; `None` for a user without a place in the line.
    async fn newest(&self, user: &str) -> Result<Option<String>, BackendError>;

    /// Writes an order and its message, in a branch of the current global transaction; [`OrderError::Overtaken`] if
    /// another order of the user came first.
    async fn record(&self, order: &NewOrder<'_>, message: &Message) -> Result<(), OrderError>;

    /// The order of a token.
    async fn by_token(&self, token: TokenId) -> Result<Option<Order>, BackendError>;

    /// An order by its id.
    async fn by_id(&self, id: &str) -> Result<Option<Order>, BackendError>;

    /// The orders of a user, newest first.
    async fn of_user(&self, user: &str) -> Result<Vec<Order>, BackendError>;

    /// The lines of an order, by SKU.
    async fn lines(&self, order: &str) -> Result<Vec<Bought>, BackendError>;

    /// The ids of orders that have not left the cart.
    async fn in_carts(&self) -> Result<Vec<String>, BackendError>;

    /// True if an order has left the cart.
    async fn has_left_cart(&self, order: &str) -> Result<bool, BackendError>;

    /// Notes that an order has left the cart.
    async fn left_cart(&self, order: &str) -> Result<(), BackendError>;

    /// All orders, for the books.
    async fn all(&self) -> Result<Vec<Order>, BackendError>;

    /// The lines of all orders, each with its order, for the books.
    async fn all_lines(&self) -> Result<Vec<(String, Bought)>, BackendError>;

    /// Fails if the orders cannot be read now.
    async fn health(&self) -> Result<(), BackendError>;
}

/// Orders in a database that takes part in global transactions.
#[derive(Debug)]
pub struct SqlOrders<D: AtDb> {
    at: At<D>,
    outbox: Outbox<D>,
    tables: Tables<D>,
}

type Row = (String, String, String, i64, String, String, i64);

impl<D: AtDb> SqlOrders<D> {
    /// The orders in this resource; `outbox` is in the same database.
    pub fn new(at: At<D>, outbox: Outbox<D>) -> Self {
        Self { tables: Tables::new(at.pool().clone()), at, outbox }
    }

    async fn read(&self, query: &'static str, values: &[&str]) -> Result<Vec<Order>, BackendError> {
        let query = values.iter().fold(self.tables.sql(query), |query, value| query.bind(*value));
        let rows: Vec<Row> = query.fetch_all(&mut self.tables.conn().await?).await?;
        let order = |(id, user_id, status, total, order_token, xid, created_at)| Order {
            id,
            user_id,
            status,
            total,
            order_token,
            created_at,
            xid,
        };
        Ok(rows.into_iter().map(order).collect())
    }
}

#[async_trait]
impl<D: AtDb> Orders for SqlOrders<D> {
    async fn open(&self, user: &str) -> Result<(), BackendError> {
        let open = self.tables.sql("{insert_ignore} checkouts (user_id, last_order) values (?, '') {or_ignore}");
        open.bind(user).execute(&mut self.tables.conn().await?).await?;
        Ok(())
    }

    async fn newest(&self, user: &str) -> Result<Option<String>, BackendError> {
        let newest = self.tables.sql("select last_order from checkouts where user_id = ?").bind(user);
        let newest: Option<(String,)> = newest.fetch_optional(&mut self.tables.conn().await?).await?;
        Ok(newest.map(|(order,)| order))
    }

    async fn record(&self, order: &NewOrder<'_>, message: &Message) -> Result<(), OrderError> {
        self.at
            .branch(async |mut tx| {
                let next = self
                    .tables
                    .sql("update checkouts set last_order = ? where user_id = ? and last_order = ?")
                    .bind(order.id)
                    .bind(order.user)
                    .bind(order.previous)
                    .execute(&mut tx)
                    .await?;
                if next == 0 {
                    return Err(OrderError::Overtaken);
                }
                self.tables
                    .sql(
                        "insert into orders (id, user_id, status, total, order_token, xid, created_at) \
                         values (?, ?, ?, ?, ?, ?, ?)",
                    )
                    .bind(order.id)
                    .bind(order.user)
                    .bind(CONFIRMED)
                    .bind(order.total)
                    .bind(&order.token.to_string())
                    .bind(order.xid)
                    .bind(now())
                    .execute(&mut tx)
                    .await?;
                for line in order.lines {
                    self.tables
                        .sql("insert into order_lines (order_id, sku, quantity, price) values (?, ?, ?, ?)")
                        .bind(order.id)
                        .bind(&line.sku)
                        .bind(line.quantity)
                        .bind(line.price)
                        .execute(&mut tx)
                        .await?;
                }
                // Held back until the global transaction is decided.
                self.outbox.enqueue(&mut tx, message).await?;
                Ok(())
            })
            .await
    }

    async fn by_token(&self, token: TokenId) -> Result<Option<Order>, BackendError> {
        let query = "select id, user_id, status, total, order_token, xid, created_at from orders where order_token = ?";
        Ok(self.read(query, &[&token.to_string()]).await?.pop())
    }

    async fn by_id(&self, id: &str) -> Result<Option<Order>, BackendError> {
        let query = "select id, user_id, status, total, order_token, xid, created_at from orders where id = ?";
        Ok(self.read(query, &[id]).await?.pop())
    }

    async fn of_user(&self, user: &str) -> Result<Vec<Order>, BackendError> {
        let query = "select id, user_id, status, total, order_token, xid, created_at from orders where user_id = ? \
                     order by created_at desc, id desc";
        self.read(query, &[user]).await
    }

    async fn lines(&self, order: &str) -> Result<Vec<Bought>, BackendError> {
        let lines = self.tables.sql("select sku, quantity, price from order_lines where order_id = ? order by sku");
        let lines: Vec<(String, i64, i64)> = lines.bind(order).fetch_all(&mut self.tables.conn().await?).await?;
        Ok(lines.into_iter().map(|(sku, quantity, price)| Bought { sku, quantity, price }).collect())
    }

    async fn in_carts(&self) -> Result<Vec<String>, BackendError> {
        let ids = self.tables.sql("select id from orders where id not in (select order_id from cart_takes)");
        let ids: Vec<(String,)> = ids.fetch_all(&mut self.tables.conn().await?).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn has_left_cart(&self, order: &str) -> Result<bool, BackendError> {
        let done = self.tables.sql("select order_id from cart_takes where order_id = ?").bind(order);
        let done: Option<(String,)> = done.fetch_optional(&mut self.tables.conn().await?).await?;
        Ok(done.is_some())
    }

    async fn left_cart(&self, order: &str) -> Result<(), BackendError> {
        let note = self.tables.sql("{insert_ignore} cart_takes (order_id) values (?) {or_ignore}");
        note.bind(order).execute(&mut self.tables.conn().await?).await?;
        Ok(())
    }

    async fn all(&self) -> Result<Vec<Order>, BackendError> {
        self.read("select id, user_id, status, total, order_token, xid, created_at from orders", &[]).await
    }

    async fn all_lines(&self) -> Result<Vec<(String, Bought)>, BackendError> {
        let lines = self.tables.sql("select order_id, sku, quantity, price from order_lines");
        let lines: Vec<(String, String, i64, i64)> = lines.fetch_all(&mut self.tables.conn().await?).await?;
        Ok(lines.into_iter().map(|(order, sku, quantity, price)| (order, Bought { sku, quantity, price })).collect())
    }

    async fn health(&self) -> Result<(), BackendError> {
        let look = self.tables.sql("select id from orders limit 1");
        look.fetch_optional::<(String,)>(&mut self.tables.conn().await?).await.map(drop)
    }
}
