//! The stores on servers: what may be forgotten in Redis, what may not in PostgreSQL, notifications in MariaDB.

use std::sync::Arc;

use onceward_cart_store::{Carts, store::RedisStore as CartStore};
use onceward_dtx::SqlStore as TcStore;
use onceward_idempotency::{FormTokens, RedisStore as TokenStore};
use onceward_oauth_client::Stores as OauthStores;
use onceward_oauth_client::store::RedisStore as LoginStore;

use super::{Ledgers, Opening, Stores, StoresError, WalletStores, ledgers, token_config};
use crate::catalog::Catalog;
use crate::folder::Settings;
use crate::notify::{self, SqlNotices};
use crate::servers::Servers;
use crate::session::RedisSessions;
use crate::tables::Tables;
use crate::users;
use crate::wallet::{Pass, RemoteWallets, Wallets};

/// Opens all stores in databases that are there, making the tables that are missing. Writes nothing where nothing is
/// missing, so that it can be called beside a running shop.
///
/// # Errors
/// If a server does not answer.
pub async fn open(servers: &Servers, settings: &Settings, opening: &Opening) -> Result<Stores, StoresError> {
    let keys = settings.keys();
    let redis = servers.redis().await?;
    let tokens = FormTokens::new(Arc::new(TokenStore::new(redis.clone())), keys.clone());
    let notices = servers.mysql();
    notify::TABLES.run(&notices).await?;

    let coordinator = TcStore::new(servers.postgres("tc")).await?;
    let dtx = opening.dtx(Arc::new(coordinator));
    let orders = servers.postgres("orders");
    // Beside the orders: users must be there after Redis has forgotten everything.
    users::TABLES.run(&orders).await?;
    let wallet: Arc<dyn Wallets> = match &opening.wallet {
        Some(origin) => Arc::new(RemoteWallets::new(origin.clone(), Pass::of(&keys))?),
        None => ledgers::open_wallet(servers.postgres("wallet"), &dtx).await?,
    };
    let ledgers = Ledgers::open(orders.clone(), servers.postgres("stock"), wallet, &dtx).await?;
    Ok(Stores {
        catalog: Arc::new(Catalog::seeded(settings.seed)),
        keys,
        users: Arc::new(Tables::new(orders)),
        sessions: Arc::new(RedisSessions::new(redis.clone())),
        logins: OauthStores::new(LoginStore::new(redis.clone())),
        carts: Carts::new(Arc::new(CartStore::new(redis))),
        tokens: tokens.with_config(token_config(opening.order_token_ttl))?,
        spent: None,
        dtx,
        orders: ledgers.orders,
        stock: ledgers.stock,
        wallet: ledgers.wallet,
        outbox: ledgers.outbox,
        notices: Arc::new(SqlNotices::new(Tables::new(notices))),
    })
}

/// Opens what the process of the wallets has, in databases that are there.
///
/// # Errors
/// If a server does not answer.
pub async fn wallet(servers: &Servers) -> Result<WalletStores, StoresError> {
    let coordinator = TcStore::new(servers.postgres("tc")).await?;
    WalletStores::open(Arc::new(coordinator), servers.postgres("wallet")).await
}
