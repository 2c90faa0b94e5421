//! The stores as SQLite files in a folder: nothing to install.

use std::path::Path;
use std::sync::Arc;

use onceward_backend::sqlite;
use onceward_cart_store::{Carts, store::SqlStore as CartStore};
use onceward_dtx::SqlStore as TcStore;
use onceward_idempotency::{FormTokens, SqlStore as TokenStore};
use onceward_oauth_client::Stores as OauthStores;
use onceward_oauth_client::store::SqlStore as LoginStore;
use onceward_reliable_mq::{SqliteBroker, SqliteBrokerOptions};

use super::{Delivery, Ledgers, Opening, Stores, StoresError, WalletStores, ledgers, token_config};
use crate::catalog::Catalog;
use crate::folder::Settings;
use crate::notify::{self, SqlNotices};
use crate::tables::Tables;
use crate::wallet::{Pass, RemoteWallets, Wallets};
use crate::{session, users};

/// Opens all stores under `folder`, creating what is missing. Writes nothing where nothing is missing, so that it can be
/// called beside a running shop.
///
/// # Errors
/// If one cannot be opened.
pub async fn open(folder: &Path, settings: &Settings, opening: &Opening) -> Result<Stores, StoresError> {
    let file = |name: &str| sqlite::open(folder.join(format!("{name}.db")));
    let keys = settings.keys();

    let web = file("web").await?;
    users::TABLES.run(&web).await?;
    session::TABLES.run(&web).await?;
    let spent = TokenStore::new(web.clone());
    spent.migrate().await?;
    let tokens =
        FormTokens::new(Arc::new(spent.clone()), keys.clone()).with_config(token_config(opening.order_token_ttl))?;
    let logins = LoginStore::new(file("oauth").await?);
    logins.migrate().await?;
    let carts = CartStore::new(file("carts").await?);
    carts.migrate().await?;
    let notices = file("notify").await?;
    notify::TABLES.run(&notices).await?;

    let coordinator = TcStore::open(folder.join("tc.db")).await?;
    let dtx = opening.dtx(Arc::new(coordinator));
    let wallet: Arc<dyn Wallets> = match &opening.wallet {
        Some(origin) => Arc::new(RemoteWallets::new(origin.clone(), Pass::of(&keys))?),
        None => ledgers::open_wallet(file("wallet").await?, &dtx).await?,
    };
    let ledgers = Ledgers::open(file("orders").await?, file("stock").await?, wallet, &dtx).await?;
    Ok(Stores {
        catalog: Arc::new(Catalog::seeded(settings.seed)),
        keys,
        users: Arc::new(Tables::new(web.clone())),
        sessions: Arc::new(Tables::new(web)),
        logins: OauthStores::new(logins),
        carts: Carts::new(Arc::new(carts)),
        tokens,
        spent: Some(spent),
        dtx,
        orders: ledgers.orders,
        stock: ledgers.stock,
        wallet: ledgers.wallet,
        outbox: ledgers.outbox,
        notices: Arc::new(SqlNotices::new(Tables::new(notices))),
    })
}

/// Opens what the process of the wallets has.
///
/// # Errors
/// If it cannot be opened.
pub async fn wallet(folder: &Path) -> Result<WalletStores, StoresError> {
    let coordinator = TcStore::open(folder.join("tc.db")).await?;
    WalletStores::open(Arc::new(coordinator), sqlite::open(folder.join("wallet.db")).await?).await
}

/// Opens the way of messages through a broker in a file of its own.
///
/// # Errors
/// If a store cannot be opened.
pub async fn delivery(folder: &Path, stores: &Stores) -> Result<Delivery, StoresError> {
    let broker = broker(folder, SqliteBrokerOptions::default().with_instance("shop")).await?;
    Delivery::open(stores, Arc::new(broker)).await
}

/// Opens the broker. Under the shop's instance only the one process may that serves.
///
/// # Errors
/// If its file cannot be opened.
pub async fn broker(folder: &Path, options: SqliteBrokerOptions) -> Result<SqliteBroker, StoresError> {
    Ok(SqliteBroker::open(sqlite::open(folder.join("broker.db")).await?, options).await?)
}
