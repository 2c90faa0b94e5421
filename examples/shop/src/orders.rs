//! Orders: placed in one global transaction over three databases, shown once it is decided.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use onceward_backend::{BackendError, Migrations};
use onceward_dtx::{DtxError, Global, Options};
use onceward_idempotency::TokenId;
use onceward_reliable_mq::Message;
use serde_json::json;
use sqlx::Pool;
use uuid::Uuid;

use crate::app::App;
use crate::notify::{self, OrderConfirmed};
use crate::pages::{OrderLine, OrderPage, OrderRow, OrdersPage};
use crate::problem::Problem;
use crate::stores::{ORDER_TIMEOUT, Stores};
use crate::visit::Visit;
use crate::{Database, now, stock, wallet};

/// Tables of the order database.
pub const TABLES: Migrations = Migrations::new("shop-orders", &[(1, include_str!("../sql/orders.sql"))]);

/// The status of an order that stands.
pub const CONFIRMED: &str = "confirmed";

/// One line of an order as it was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bought {
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: i64,
    /// For how much each, in minor units.
    pub price: i64,
}

/// An order without its lines.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// `confirmed` or `cancelled`.
    pub status: String,
    /// What was charged, in minor units.
    pub total: i64,
    /// The global transaction that made it.
    pub xid: String,
}

/// Why an order was not placed. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// A SKU has fewer left than were asked for.
    #[error("not enough of {sku} is left")]
    NoStock {
        /// Which.
        sku: String,
    },
    /// The wallet does not cover it.
    #[error("the wallet does not cover the order")]
    NoMoney,
    /// The user placed another order meanwhile: look at the cart again.
    #[error("another order of this user came first")]
    Overtaken,
    /// The transaction failed.
    #[error(transparent)]
    Transaction(#[from] DtxError),
    /// A statement failed.
    #[error(transparent)]
    Statement(#[from] sqlx::Error),
    /// The message could not be written.
    #[error(transparent)]
    Message(#[from] onceward_reliable_mq::Error),
    /// The message could not be made.
    #[error(transparent)]
    Payload(#[from] onceward_reliable_mq::MessageError),
}

const COLUMNS: &str = "id, user_id, status, total, xid";

/// A new user's place in the line of orders.
///
/// # Errors
/// If the store does not answer.
pub async fn open(pool: &Pool<Database>, user: &str) -> Result<(), BackendError> {
    sqlx::query("insert into checkouts (user_id, last_order) values (?, '') on conflict do nothing")
        .bind(user)
        .execute(pool)
        .await?;
    Ok(())
}

/// Places an order: the order itself with its message, the stock, the wallet; all of them or nothing. `previous` is the
/// newest order of the user as the caller saw it: only one order can follow it.
///
/// # Errors
/// [`OrderError`]; nothing stays, except that an [`OrderError::Transaction`] may still be undoing its work.
pub async fn place(
    stores: &Stores,
    user: &str,
    token: TokenId,
    previous: &str,
    lines: &[Bought],
) -> Result<String, OrderError> {
    let order = Uuid::now_v7().to_string();
    let total: i64 = lines.iter().map(|line| line.quantity * line.price).sum();
    let confirmed = OrderConfirmed { order_id: order.clone(), user_id: user.to_owned(), total };
    let message = Message::to(notify::TOPIC).key(user).json(&confirmed)?;
    let (order, message) = (&order, &message);
    let options = Options::new("place-order").with_timeout(ORDER_TIMEOUT);
    stores
        .dtx
        .run(options, async |global: Global| {
            let xid = global.xid();
            stores
                .orders
                .branch(async |mut tx| {
                    let next = sqlx::query("update checkouts set last_order = ? where user_id = ? and last_order = ?");
                    let next = next.bind(order).bind(user).bind(previous).execute(&mut *tx).await?;
                    if next.rows_affected() == 0 {
                        return Err(OrderError::Overtaken);
                    }
                    sqlx::query(
                        "insert into orders (id, user_id, status, total, order_token, xid, created_at) \
                         values (?, ?, ?, ?, ?, ?, ?)",
                    )
                    .bind(order)
                    .bind(user)
                    .bind(CONFIRMED)
                    .bind(total)
                    .bind(token.to_string())
                    .bind(xid)
                    .bind(now())
                    .execute(&mut *tx)
                    .await?;
                    for line in lines {
                        sqlx::query("insert into order_lines (order_id, sku, quantity, price) values (?, ?, ?, ?)")
                            .bind(order)
                            .bind(&line.sku)
                            .bind(line.quantity)
                            .bind(line.price)
                            .execute(&mut *tx)
                            .await?;
                    }
                    // Held back until the global transaction is decided.
                    stores.outbox.enqueue(&mut tx, message).await?;
                    Ok(())
                })
                .await?;
            stores.stock.branch(async |mut tx| stock::take(&mut tx, order, lines).await).await?;
            stores.wallet.branch(async |mut tx| wallet::charge(&mut tx, xid, user, order, total).await).await
        })
        .await?;
    Ok(order.clone())
}

/// The order of a token, whatever became of its transaction.
///
/// # Errors
/// If the store does not answer.
pub async fn by_token(pool: &Pool<Database>, token: TokenId) -> Result<Option<Order>, BackendError> {
    let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("select {COLUMNS} from orders where order_token = ?")));
    Ok(query.bind(token.to_string()).fetch_optional(pool).await?)
}

/// An order by its id, whatever became of its transaction.
///
/// # Errors
/// If the store does not answer.
pub async fn by_id(pool: &Pool<Database>, id: &str) -> Result<Option<Order>, BackendError> {
    let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("select {COLUMNS} from orders where id = ?")));
    Ok(query.bind(id).fetch_optional(pool).await?)
}

/// The lines of an order, by SKU.
///
/// # Errors
/// If the store does not answer.
pub async fn lines(pool: &Pool<Database>, order: &str) -> Result<Vec<Bought>, BackendError> {
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("select sku, quantity, price from order_lines where order_id = ? order by sku")
            .bind(order)
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(|(sku, quantity, price)| Bought { sku, quantity, price }).collect())
}

/// `GET /orders`
pub async fn list(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let user = visit.member()?.id.as_str();
    let query = format!("select {COLUMNS} from orders where user_id = ? order by created_at desc, id desc");
    let found: Vec<Order> =
        sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(user).fetch_all(app.stores.orders.pool()).await?;
    let mut rows = Vec::with_capacity(found.len());
    for order in found {
        if app.stores.is_committed(&order.xid).await? {
            rows.push(OrderRow { id: order.id, status: order.status, total: order.total });
        }
    }
    let data: Vec<_> =
        rows.iter().map(|row| json!({ "id": row.id, "status": row.status, "total": row.total })).collect();
    visit.answer(&app, json!({ "orders": data }), |chrome| OrdersPage { chrome, orders: rows }).await
}

/// `GET /orders/{id}`
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, visit: Visit) -> Result<Response, Problem> {
    let user = visit.member()?.id.as_str();
    let unknown = || Problem::not_found("You have no such order.");
    let order =
        by_id(app.stores.orders.pool(), &id).await?.filter(|order| order.user_id == user).ok_or_else(unknown)?;
    if !app.stores.is_committed(&order.xid).await? {
        return Err(unknown());
    }
    let bought = lines(app.stores.orders.pool(), &order.id).await?;
    let notified = notify::was_sent(&app.stores.notify, &order.id).await?;
    let rows: Vec<_> =
        bought.iter().map(|line| json!({ "sku": line.sku, "quantity": line.quantity, "price": line.price })).collect();
    let data = json!({
        "id": order.id, "status": order.status, "total": order.total, "lines": rows, "xid": order.xid,
        "notified": notified,
    });
    let name =
        |sku: &str| app.stores.catalog.product(sku).map_or_else(|| sku.to_owned(), |product| product.name.clone());
    let lines = bought
        .into_iter()
        .map(|line| OrderLine { name: name(&line.sku), sku: line.sku, quantity: line.quantity, price: line.price })
        .collect();
    visit
        .answer(&app, data, |chrome| OrderPage {
            chrome,
            id: order.id,
            status: order.status,
            lines,
            total: order.total,
            xid: order.xid,
            notified,
        })
        .await
}
