//! Money: balances and the ledger that explains them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use onceward_backend::{BackendError, Conn, Migrations};
use serde_json::json;
use sqlx::Pool;

use crate::app::App;
use crate::catalog::OPENING_BALANCE;
use crate::orders::OrderError;
use crate::pages::{LedgerRow, WalletPage};
use crate::problem::Problem;
use crate::stores::Stores;
use crate::visit::Visit;
use crate::{Database, now};

/// Tables of the wallet database.
pub const TABLES: Migrations = Migrations::new("shop-wallet", &[(1, include_str!("../sql/wallet.sql"))]);

/// Opens a user's wallet, once.
///
/// # Errors
/// If the store does not answer.
pub async fn open(pool: &Pool<Database>, user: &str) -> Result<(), BackendError> {
    sqlx::query("insert into wallets (user_id, balance) values (?, ?) on conflict do nothing")
        .bind(user)
        .bind(OPENING_BALANCE)
        .execute(pool)
        .await?;
    Ok(())
}

/// Charges an order.
///
/// # Errors
/// [`OrderError::NoMoney`] if the balance does not suffice.
pub async fn charge(
    conn: &mut impl Conn<Database>,
    xid: &str,
    user: &str,
    order: &str,
    amount: i64,
) -> Result<(), OrderError> {
    let charged = sqlx::query("update wallets set balance = balance - ? where user_id = ? and balance >= ?")
        .bind(amount)
        .bind(user)
        .bind(amount)
        .execute(conn.executor())
        .await?;
    if charged.rows_affected() == 0 {
        return Err(OrderError::NoMoney);
    }
    sqlx::query("insert into ledger (reference, user_id, amount, xid, created_at) values (?, ?, ?, ?, ?)")
        .bind(order)
        .bind(user)
        .bind(-amount)
        .bind(xid)
        .bind(now())
        .execute(conn.executor())
        .await?;
    Ok(())
}

/// Balance and ledger of a user, newest first, without charges of orders that are not decided yet.
///
/// # Errors
/// If a store does not answer.
pub async fn statement(stores: &Stores, user: &str) -> Result<(i64, Vec<LedgerRow>), Problem> {
    let mut tx = stores.wallet.pool().begin().await?;
    let mut balance: i64 = sqlx::query_scalar("select balance from wallets where user_id = ?")
        .bind(user)
        .fetch_optional(&mut *tx)
        .await?
        .unwrap_or(OPENING_BALANCE);
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "select reference, amount, xid from ledger where user_id = ? order by created_at desc, reference desc",
    )
    .bind(user)
    .fetch_all(&mut *tx)
    .await?;
    drop(tx);
    let mut ledger = Vec::with_capacity(rows.len());
    for (reference, amount, xid) in rows {
        if stores.is_committed(&xid).await? {
            ledger.push(LedgerRow { reference, amount });
        } else {
            balance -= amount;
        }
    }
    Ok((balance, ledger))
}

/// `GET /wallet`
pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let (balance, ledger) = statement(&app.stores, visit.member()?.id.as_str()).await?;
    let rows: Vec<_> = ledger.iter().map(|row| json!({ "ref": row.reference, "amount": row.amount })).collect();
    let data = json!({ "balance": balance, "ledger": rows });
    visit.answer(&app, data, |chrome| WalletPage { chrome, balance, ledger }).await
}
