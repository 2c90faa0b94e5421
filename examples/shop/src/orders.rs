//! Orders: placed in one global transaction over three databases, shown once it is decided.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use onceward_backend::BackendError;
use onceward_dtx::{DtxError, Global, Options};
use onceward_idempotency::TokenId;
use onceward_reliable_mq::Message;
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::notify::{self, OrderConfirmed};
use crate::pages::{OrderLine, OrderPage, OrderRow, OrdersPage};
use crate::problem::Problem;
use crate::stores::{ORDER_TIMEOUT, Stores};
use crate::visit::Visit;
use crate::wallet::Charge;

mod tables;

pub use tables::{CONFIRMED, Orders, SqlOrders, TABLES};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// `confirmed` or `cancelled`.
    pub status: String,
    /// What was charged, in minor units.
    pub total: i64,
    /// The token of the form that placed it; no two orders share one.
    pub order_token: String,
    /// When, in microseconds since the epoch.
    pub created_at: i64,
    /// The global transaction that made it.
    pub xid: String,
}

/// An order that is being placed.
#[derive(Clone, Copy, Debug)]
pub struct NewOrder<'a> {
    /// Its id.
    pub id: &'a str,
    /// Whose it is.
    pub user: &'a str,
    /// The newest order of the user as the caller saw it: only one order can follow it.
    pub previous: &'a str,
    /// The token of its form.
    pub token: TokenId,
    /// What is bought.
    pub lines: &'a [Bought],
    /// For how much, in minor units.
    pub total: i64,
    /// The global transaction.
    pub xid: &'a str,
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
    Statement(#[from] BackendError),
    /// The message could not be written.
    #[error(transparent)]
    Message(#[from] onceward_reliable_mq::Error),
    /// The message could not be made.
    #[error(transparent)]
    Payload(#[from] onceward_reliable_mq::MessageError),
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
    let id = &Uuid::now_v7().to_string();
    let total = lines.iter().map(|line| line.quantity * line.price).sum();
    let confirmed = OrderConfirmed { order_id: id.clone(), user_id: user.to_owned(), total };
    let message = &Message::to(notify::TOPIC).key(user).json(&confirmed)?;
    let options = Options::new("place-order").with_timeout(ORDER_TIMEOUT);
    stores
        .dtx
        .run(options, async |global: Global| {
            let xid = global.xid();
            stores.orders.record(&NewOrder { id, user, previous, token, lines, total, xid }, message).await?;
            stores.stock.take(id, lines).await?;
            stores.wallet.charge(&Charge { order: id, user, amount: total, xid }).await
        })
        .await?;
    Ok(id.clone())
}

/// `GET /orders`
pub async fn list(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let user = visit.member()?.id.as_str();
    let found = app.stores.orders.of_user(user).await?;
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
    // Not every database takes every character in a text.
    let id = Uuid::parse_str(&id).ok().filter(|parsed| parsed.to_string() == id).ok_or_else(unknown)?.to_string();
    let order = app.stores.orders.by_id(&id).await?.filter(|order| order.user_id == user).ok_or_else(unknown)?;
    if !app.stores.is_committed(&order.xid).await? {
        return Err(unknown());
    }
    let bought = app.stores.orders.lines(&order.id).await?;
    let notified = app.stores.notices.was_sent(&order.id).await?;
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
