//! What is left of each SKU.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use async_trait::async_trait;
use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, ErrorClass, Migrations};
use onceward_dtx::{At, AtDb};

use crate::catalog::Catalog;
use crate::orders::{Bought, OrderError};
use crate::tables::Tables;

/// Tables of the stock database.
pub const TABLES: Migrations = Migrations::new("shop-stock", &[(1, include_str!("../sql/stock.sql"))]);

/// The stock by SKU, and by order and SKU what was taken from it.
pub type Shelves = (BTreeMap<String, i64>, BTreeMap<(String, String), i64>);

/// What is on the shelves.
#[async_trait]
pub trait Stock: Debug + Send + Sync + 'static {
    /// Puts the catalogue's initial stock on the shelves, once. Refused where another catalogue's is.
    async fn seed(&self, catalog: &Catalog) -> Result<(), BackendError>;

    /// How many are left.
    async fn left(&self, sku: &str) -> Result<i64, BackendError>;

    /// Takes the bought quantities off the shelves, in a branch of the current global transaction;
    /// [`OrderError::NoStock`] if one SKU has fewer left.
    async fn take(&self, order: &str, lines: &[Bought]) -> Result<(), OrderError>;

    /// Everything, for the books.
    async fn shelves(&self) -> Result<Shelves, BackendError>;

    /// Fails if the stock cannot be read now.
    async fn health(&self) -> Result<(), BackendError>;
}

/// The stock in a database that takes part in global transactions.
#[derive(Debug)]
pub struct SqlStock<D: AtDb> {
    at: At<D>,
    tables: Tables<D>,
}

impl<D: AtDb> SqlStock<D> {
    /// The stock in this resource.
    pub fn new(at: At<D>) -> Self {
        Self { tables: Tables::new(at.pool().clone()), at }
    }
}

#[async_trait]
impl<D: AtDb> Stock for SqlStock<D> {
    async fn seed(&self, catalog: &Catalog) -> Result<(), BackendError> {
        let mut tx = begin(self.tables.pool()).await?;
        let held: Vec<(String,)> = self.tables.sql("select sku from stock").fetch_all(&mut tx).await?;
        if !held.is_empty() {
            let held: BTreeSet<_> = held.iter().map(|(sku,)| sku.as_str()).collect();
            let same = catalog.products().iter().map(|product| product.sku.as_str()).collect::<BTreeSet<_>>() == held;
            let other = "the stock is of another catalogue; give the --seed that it was made with";
            return if same { Ok(()) } else { Err(BackendError::new("stock", ErrorClass::Refused, other)) };
        }
        for product in catalog.products() {
            let put = self.tables.sql("insert into stock (sku, quantity) values (?, ?)");
            put.bind(&product.sku).bind(product.initial_stock).execute(&mut tx).await?;
        }
        commit(tx).await
    }

    async fn left(&self, sku: &str) -> Result<i64, BackendError> {
        let left = self.tables.sql("select quantity from stock where sku = ?").bind(sku);
        let left: Option<(i64,)> = left.fetch_optional(&mut self.tables.conn().await?).await?;
        Ok(left.map_or(0, |(left,)| left))
    }

    async fn take(&self, order: &str, lines: &[Bought]) -> Result<(), OrderError> {
        self.at
            .branch(async |mut tx| {
                for line in lines {
                    let taken = self
                        .tables
                        .sql("update stock set quantity = quantity - ? where sku = ? and quantity >= ?")
                        .bind(line.quantity)
                        .bind(&line.sku)
                        .bind(line.quantity)
                        .execute(&mut tx)
                        .await?;
                    if taken == 0 {
                        return Err(OrderError::NoStock { sku: line.sku.clone() });
                    }
                    self.tables
                        .sql("insert into stock_moves (order_id, sku, quantity) values (?, ?, ?)")
                        .bind(order)
                        .bind(&line.sku)
                        .bind(line.quantity)
                        .execute(&mut tx)
                        .await?;
                }
                Ok(())
            })
            .await
    }

    async fn shelves(&self) -> Result<Shelves, BackendError> {
        let mut conn = self.tables.conn().await?;
        let stock: Vec<(String, i64)> = self.tables.sql("select sku, quantity from stock").fetch_all(&mut conn).await?;
        let moves = self.tables.sql("select order_id, sku, quantity from stock_moves");
        let moves: Vec<(String, String, i64)> = moves.fetch_all(&mut conn).await?;
        let moves = moves.into_iter().map(|(order, sku, quantity)| ((order, sku), quantity));
        Ok((stock.into_iter().collect(), moves.collect()))
    }

    async fn health(&self) -> Result<(), BackendError> {
        let look = self.tables.sql("select sku from stock limit 1");
        look.fetch_optional::<(String,)>(&mut self.tables.conn().await?).await.map(drop)
    }
}
