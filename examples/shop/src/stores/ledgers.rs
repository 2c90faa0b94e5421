//! Orders, stock and wallets: databases that change together or not at all.

use std::sync::Arc;

use onceward_dtx::{At, AtDb, AtOptions, Dtx};
use onceward_reliable_mq::{Outbox, Store};
use sqlx::Pool;

use super::{ORDER_TIMEOUT, StoresError};
use crate::orders::{self, Orders, SqlOrders};
use crate::stock::{self, SqlStock, Stock};
use crate::wallet::{self, SqlWallets, Wallets};

pub(super) struct Ledgers {
    pub(super) orders: Arc<dyn Orders>,
    pub(super) stock: Arc<dyn Stock>,
    pub(super) wallet: Arc<dyn Wallets>,
    pub(super) outbox: Arc<dyn Store>,
}

fn options<D: AtDb>() -> AtOptions<D> {
    AtOptions::default().with_lock_timeout(ORDER_TIMEOUT)
}

/// Makes what is missing and makes wallets a resource of `dtx`.
pub(super) async fn open_wallet<D: AtDb>(wallet: Pool<D>, dtx: &Dtx) -> Result<Arc<dyn Wallets>, StoresError> {
    wallet::TABLES.run(&wallet).await?;
    Ok(Arc::new(SqlWallets::new(At::new("wallet", wallet, dtx, options()).await?)))
}

impl Ledgers {
    /// Makes what is missing and makes orders and stock resources of `dtx`, which wallets are or another process has.
    pub(super) async fn open<D: AtDb>(
        orders: Pool<D>,
        stock: Pool<D>,
        wallet: Arc<dyn Wallets>,
        dtx: &Dtx,
    ) -> Result<Self, StoresError> {
        orders::TABLES.run(&orders).await?;
        stock::TABLES.run(&stock).await?;
        let outbox = Outbox::new(orders.clone());
        outbox.migrate().await?;
        let held = options().with_participant(Arc::new(outbox.clone()));
        Ok(Self {
            outbox: outbox.store(),
            orders: Arc::new(SqlOrders::new(At::new("orders", orders, dtx, held).await?, outbox)),
            stock: Arc::new(SqlStock::new(At::new("stock", stock, dtx, options()).await?)),
            wallet,
        })
    }
}
