//! What is left of each SKU.

use onceward_backend::{BackendError, Conn, Migrations};
use sqlx::Pool;

use crate::Database;
use crate::catalog::Catalog;
use crate::orders::{Bought, OrderError};

/// Tables of the stock database.
pub const TABLES: Migrations = Migrations::new("shop-stock", &[(1, include_str!("../sql/stock.sql"))]);

/// Puts the catalogue's initial stock on the shelves, once.
///
/// # Errors
/// If the store does not answer.
pub async fn seed(pool: &Pool<Database>, catalog: &Catalog) -> Result<(), BackendError> {
    let rows: i64 = sqlx::query_scalar("select count(*) from stock").fetch_one(pool).await?;
    if usize::try_from(rows) == Ok(catalog.products().len()) {
        return Ok(());
    }
    let mut tx = pool.begin_with("begin immediate").await?;
    for product in catalog.products() {
        sqlx::query("insert into stock (sku, quantity) values (?, ?) on conflict do nothing")
            .bind(&product.sku)
            .bind(product.initial_stock)
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

/// How many are left.
///
/// # Errors
/// If the store does not answer.
pub async fn left(pool: &Pool<Database>, sku: &str) -> Result<i64, BackendError> {
    let left = sqlx::query_scalar("select quantity from stock where sku = ?").bind(sku).fetch_optional(pool).await?;
    Ok(left.unwrap_or(0))
}

/// Takes the bought quantities off the shelves.
///
/// # Errors
/// [`OrderError::NoStock`] if one SKU has fewer left.
pub async fn take(conn: &mut impl Conn<Database>, order: &str, lines: &[Bought]) -> Result<(), OrderError> {
    for line in lines {
        let taken = sqlx::query("update stock set quantity = quantity - ? where sku = ? and quantity >= ?")
            .bind(line.quantity)
            .bind(&line.sku)
            .bind(line.quantity)
            .execute(conn.executor())
            .await?;
        if taken.rows_affected() == 0 {
            return Err(OrderError::NoStock { sku: line.sku.clone() });
        }
        sqlx::query("insert into stock_moves (order_id, sku, quantity) values (?, ?, ?)")
            .bind(order)
            .bind(&line.sku)
            .bind(line.quantity)
            .execute(conn.executor())
            .await?;
    }
    Ok(())
}
