//! Money: balances and the ledger that explains them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use onceward_backend::{BackendError, Migrations};
use onceward_dtx::{At, AtDb};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::catalog::OPENING_BALANCE;
use crate::now;
use crate::orders::OrderError;
use crate::pages::{LedgerRow, WalletPage};
use crate::problem::Problem;
use crate::stores::Stores;
use crate::tables::Tables;
use crate::visit::Visit;

mod remote;
pub mod serve;
mod service;

pub use remote::RemoteWallets;
pub use service::{Pass, Service};

/// Tables of the wallet database.
pub const TABLES: Migrations = Migrations::new("shop-wallet", &[(1, include_str!("../sql/wallet.sql"))]);

/// What an order costs whom.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The order.
    pub order: &'a str,
    /// Whose wallet.
    pub user: &'a str,
    /// How much, in minor units.
    pub amount: i64,
    /// The global transaction.
    pub xid: &'a str,
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is for: an order.
    pub reference: String,
    /// Whose wallet.
    pub user_id: String,
    /// Signed, in minor units.
    pub amount: i64,
    /// The global transaction that made it.
    pub xid: String,
}

/// Everybody's money.
#[async_trait]
pub trait Wallets: Debug + Send + Sync + 'static {
    /// Opens a user's wallet, once.
    async fn open(&self, user: &str) -> Result<(), BackendError>;

    /// Charges an order, in a branch of the current global transaction; [`OrderError::NoMoney`] if the balance does not
    /// suffice.
    async fn charge(&self, charge: &Charge<'_>) -> Result<(), OrderError>;

    /// Balance and ledger of a user at one moment, newest first, undecided charges included.
    async fn of_user(&self, user: &str) -> Result<(i64, Vec<Entry>), BackendError>;

    /// All balances by user and the whole ledger, for the books.
    async fn all(&self) -> Result<(BTreeMap<String, i64>, Vec<Entry>), BackendError>;

    /// Fails if the wallets cannot be read now.
    async fn health(&self) -> Result<(), BackendError>;
}

/// Wallets in a database that takes part in global transactions.
#[derive(Debug)]
pub struct SqlWallets<D: AtDb> {
    at: At<D>,
    tables: Tables<D>,
}

impl<D: AtDb> SqlWallets<D> {
    /// The wallets in this resource.
    pub fn new(at: At<D>) -> Self {
        Self { tables: Tables::new(at.pool().clone()), at }
    }
}

#[async_trait]
impl<D: AtDb> Wallets for SqlWallets<D> {
    async fn open(&self, user: &str) -> Result<(), BackendError> {
        let open = self.tables.sql("{insert_ignore} wallets (user_id, balance) values (?, ?) {or_ignore}");
        open.bind(user).bind(OPENING_BALANCE).execute(&mut self.tables.conn().await?).await?;
        Ok(())
    }

    async fn charge(&self, charge: &Charge<'_>) -> Result<(), OrderError> {
        self.at
            .branch(async |mut tx| {
                let charged = self
                    .tables
                    .sql("update wallets set balance = balance - ? where user_id = ? and balance >= ?")
                    .bind(charge.amount)
                    .bind(charge.user)
                    .bind(charge.amount)
                    .execute(&mut tx)
                    .await?;
                if charged == 0 {
                    return Err(OrderError::NoMoney);
                }
                self.tables
                    .sql("insert into ledger (reference, user_id, amount, xid, created_at) values (?, ?, ?, ?, ?)")
                    .bind(charge.order)
                    .bind(charge.user)
                    .bind(-charge.amount)
                    .bind(charge.xid)
                    .bind(now())
                    .execute(&mut tx)
                    .await?;
                Ok(())
            })
            .await
    }

    async fn of_user(&self, user: &str) -> Result<(i64, Vec<Entry>), BackendError> {
        // One statement sees one moment on every database; two in a transaction do not.
        let read = self.tables.sql(
            "select w.balance, l.reference, l.amount, l.xid from wallets w left join ledger l on l.user_id = w.user_id \
             where w.user_id = ? order by l.created_at desc, l.reference desc",
        );
        let rows: Vec<(i64, Option<String>, Option<i64>, Option<String>)> =
            read.bind(user).fetch_all(&mut self.tables.conn().await?).await?;
        let balance = rows.first().map_or(OPENING_BALANCE, |row| row.0);
        let entry = |(_, reference, amount, xid): (i64, Option<String>, Option<i64>, Option<String>)| {
            Some(Entry { reference: reference?, user_id: user.to_owned(), amount: amount?, xid: xid? })
        };
        Ok((balance, rows.into_iter().filter_map(entry).collect()))
    }

    async fn all(&self) -> Result<(BTreeMap<String, i64>, Vec<Entry>), BackendError> {
        let mut conn = self.tables.conn().await?;
        let balances = self.tables.sql("select user_id, balance from wallets");
        let balances: Vec<(String, i64)> = balances.fetch_all(&mut conn).await?;
        let ledger = self.tables.sql("select reference, user_id, amount, xid from ledger");
        let ledger: Vec<(String, String, i64, String)> = ledger.fetch_all(&mut conn).await?;
        let entry = |(reference, user_id, amount, xid)| Entry { reference, user_id, amount, xid };
        Ok((balances.into_iter().collect(), ledger.into_iter().map(entry).collect()))
    }

    async fn health(&self) -> Result<(), BackendError> {
        let look = self.tables.sql("select user_id from wallets limit 1");
        look.fetch_optional::<(String,)>(&mut self.tables.conn().await?).await.map(drop)
    }
}

/// Balance and ledger of a user, newest first, without charges of orders that are not decided yet.
///
/// # Errors
/// If a store does not answer.
pub async fn statement(stores: &Stores, user: &str) -> Result<(i64, Vec<LedgerRow>), Problem> {
    let (mut balance, entries) = stores.wallet.of_user(user).await?;
    let mut ledger = Vec::with_capacity(entries.len());
    for Entry { reference, amount, xid, .. } in entries {
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
