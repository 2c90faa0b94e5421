//! Everything the shop keeps, opened on one data folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onceward_backend::{BackendError, KeyRing, sqlite};
use onceward_cart_store::{Bought, Carts, Error as CartError, GuestId, LineKey, MemberId, OrderId, Owner};
use onceward_dtx::{At, AtOptions, Dtx, DtxError, DtxOptions, GlobalStatus, Tc, TcOptions};
use onceward_idempotency::{FormTokens, Settle, TokenConfig};
use onceward_oauth_client::Stores as OauthStores;
use onceward_reliable_mq::{Broker, Consumer, Inbox, Outbox, Relay, RelayOptions, SqliteBroker, SqliteBrokerOptions};
use sqlx::Pool;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::folder::Settings;
use crate::orders::{self, Order};
use crate::problem::chain;
use crate::{Database, notify, session, stock, wallet};

/// A place-order transaction lives no longer than that.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
/// A claim on an order token outlives the transaction that it guards.
const TOKEN_LEASE: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(5);

/// Opening or recovering the stores failed.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// A store cannot be opened or read.
    #[error("a store cannot be opened")]
    Backend(#[from] BackendError),
    /// The coordinator or a resource cannot be opened.
    #[error("global transactions cannot be opened")]
    Dtx(#[from] DtxError),
    /// The queue cannot be opened.
    #[error("the message queue cannot be opened")]
    Queue(#[from] onceward_reliable_mq::Error),
    /// Carts cannot be read.
    #[error("carts cannot be read")]
    Carts(#[from] onceward_cart_store::Error),
    /// Order tokens cannot be read.
    #[error("order tokens cannot be read")]
    Tokens(#[from] onceward_idempotency::Error),
}

/// The stores and the services on them.
#[derive(Clone, Debug)]
pub struct Stores {
    /// What is sold.
    pub catalog: Arc<Catalog>,
    /// Signs cookies, ids and tokens.
    pub keys: KeyRing,
    /// Users and sessions.
    pub web: Pool<Database>,
    /// Carts of guests and members.
    pub carts: Carts,
    /// The hidden order tokens.
    pub tokens: FormTokens,
    /// Where they are kept.
    spent: onceward_idempotency::SqlStore<Database>,
    /// Global transactions.
    pub dtx: Dtx,
    /// Resource: orders.
    pub orders: At<Database>,
    /// Resource: stock.
    pub stock: At<Database>,
    /// Resource: wallets.
    pub wallet: At<Database>,
    /// Messages of orders.
    pub outbox: Outbox<Database>,
    /// Notifications.
    pub notify: Pool<Database>,
}

impl Stores {
    /// Opens all stores under `folder`, creating what is missing. Writes nothing where nothing is missing, so that it can
    /// be called beside a running shop.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub async fn open(folder: &Path, settings: &Settings, order_token_ttl: Duration) -> Result<Self, StoresError> {
        let file = |name: &str| sqlite::open(folder.join(format!("{name}.db")));
        let catalog = Arc::new(Catalog::seeded(settings.seed));
        let keys = settings.keys();

        let web = file("web").await?;
        session::TABLES.run(&web).await?;
        let spent = onceward_idempotency::SqlStore::new(web.clone());
        spent.migrate().await?;
        let config = TokenConfig::default().with_ttl(order_token_ttl).with_lease(TOKEN_LEASE).with_holder("shop");
        let tokens = FormTokens::new(Arc::new(spent.clone()), keys.clone()).with_config(config)?;
        let carts = onceward_cart_store::store::SqlStore::new(file("carts").await?);
        carts.migrate().await?;

        let orders = file("orders").await?;
        orders::TABLES.run(&orders).await?;
        let outbox = Outbox::new(orders.clone());
        outbox.migrate().await?;
        let stock = file("stock").await?;
        stock::TABLES.run(&stock).await?;
        let wallet = file("wallet").await?;
        wallet::TABLES.run(&wallet).await?;
        let notify = file("notify").await?;
        notify::TABLES.run(&notify).await?;

        let coordinator = onceward_dtx::SqlStore::open(folder.join("tc.db")).await?;
        let dtx = Dtx::new(Arc::new(Tc::new(Arc::new(coordinator), TcOptions::default())), DtxOptions::default());
        let options = || AtOptions::default().with_lock_timeout(ORDER_TIMEOUT);
        let held = options().with_participant(Arc::new(outbox.clone()));
        Ok(Self {
            catalog,
            keys,
            web,
            carts: Carts::new(Arc::new(carts)),
            tokens,
            spent,
            orders: At::new("orders", orders, &dtx, held).await?,
            stock: At::new("stock", stock, &dtx, options()).await?,
            wallet: At::new("wallet", wallet, &dtx, options()).await?,
            dtx,
            outbox,
            notify,
        })
    }

    /// The stores of pending logins and tokens.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub async fn oauth(folder: &Path) -> Result<OauthStores, StoresError> {
        let store =
            onceward_oauth_client::store::SqlStore::<Database>::new(sqlite::open(folder.join("oauth.db")).await?);
        store.migrate().await?;
        Ok(OauthStores::new(store))
    }

    /// Puts the catalogue's stock on the shelves, once. For the process that holds the folder's lock.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn seed(&self) -> Result<(), StoresError> {
        Ok(stock::seed(self.stock.pool(), &self.catalog).await?)
    }

    /// Settles what a dead process left: decides its global transactions, then its order tokens, takes what was bought
    /// out of the carts and finishes merges. For the process that holds the folder's lock, before it serves.
    ///
    /// # Errors
    /// If a store does not answer. A cart that cannot be merged or emptied now is left to the sweeper.
    pub async fn recover(&self) -> Result<(), StoresError> {
        let recovered = self.dtx.recover().await?;
        tracing::info!(?recovered, "global transactions of the last run are decided");
        self.settle_tokens(Duration::ZERO).await?;
        self.empty_carts().await?;
        self.finish_merges().await
    }

    /// Ends claims on order tokens that have run for `older_than`: spent if their order stands, else free again.
    async fn settle_tokens(&self, older_than: Duration) -> Result<(), StoresError> {
        for running in self.tokens.running(older_than, 10_000).await? {
            let how = match orders::by_token(self.orders.pool(), running.claim.id()).await? {
                Some(order) => match self.decision(&order.xid).await? {
                    Some(true) => Settle::Complete(order.id.into_bytes()),
                    Some(false) => Settle::Release,
                    None => continue,
                },
                None => Settle::Release,
            };
            self.tokens.settle(&running.claim, how).await?;
        }
        Ok(())
    }

    /// Takes what was bought out of the carts where an order stands and its submit did not get that far.
    async fn empty_carts(&self) -> Result<(), StoresError> {
        let untaken: Vec<(String,)> =
            sqlx::query_as("select id from orders where id not in (select order_id from cart_takes)")
                .fetch_all(self.orders.pool())
                .await
                .map_err(BackendError::from)?;
        for (id,) in untaken {
            let Some(order) = orders::by_id(self.orders.pool(), &id).await? else { continue };
            if self.is_committed(&order.xid).await?
                && let Err(error) = self.take_from_cart(&order).await
            {
                tracing::warn!(order = id, error = chain(&error), "what was bought is still in the cart");
            }
        }
        Ok(())
    }

    /// Lets guest carts reach their members where a login was interrupted. One that cannot be merged now does not keep
    /// the others waiting.
    async fn finish_merges(&self) -> Result<(), StoresError> {
        let left: Vec<(String, String)> = sqlx::query_as("select guest, user_id from merges")
            .fetch_all(&self.web)
            .await
            .map_err(BackendError::from)?;
        for (guest, user) in left {
            if let (Some(guest), Ok(user)) = (GuestId::verify(&self.keys, &guest), MemberId::new(user))
                && let Err(error) = self.merge(&guest, &user).await
            {
                tracing::warn!(error = chain(&error), "a cart merge is put off");
            }
        }
        if let Err(error) = self.carts.finish_merges().await {
            tracing::warn!(error = chain(&error), "cart merges are put off");
        }
        Ok(())
    }

    /// Moves a guest's cart into a member's and forgets that this was to be done.
    ///
    /// # Errors
    /// If the carts do not answer; the sweeper tries again.
    pub async fn merge(&self, guest: &GuestId, user: &MemberId) -> Result<(), StoresError> {
        match self.carts.merge(guest, user).await {
            // It went to another member before: there is nothing left to merge, now or later.
            Err(CartError::Sealed { .. }) => tracing::warn!("a guest cart had been merged into another member's"),
            merged => drop(merged?),
        }
        sqlx::query("delete from merges where guest = ?")
            .bind(guest.signed(&self.keys))
            .execute(&self.web)
            .await
            .map_err(BackendError::from)?;
        Ok(())
    }

    /// Takes what an order bought out of the cart, once, whoever comes first.
    ///
    /// # Errors
    /// If a store does not answer; to be repeated.
    pub async fn take_from_cart(&self, order: &Order) -> Result<(), StoresError> {
        let done: Option<String> = sqlx::query_scalar("select order_id from cart_takes where order_id = ?")
            .bind(&order.id)
            .fetch_optional(self.orders.pool())
            .await
            .map_err(BackendError::from)?;
        if done.is_some() {
            return Ok(());
        }
        let owner = Owner::Member(MemberId::new(order.user_id.as_str())?);
        let mut bought = Vec::new();
        for line in orders::lines(self.orders.pool(), &order.id).await? {
            bought.push(Bought {
                key: LineKey::new(line.sku)?,
                quantity: u32::try_from(line.quantity).unwrap_or(u32::MAX),
            });
        }
        self.carts.take(&owner, &OrderId::new(order.id.as_str())?, &bought).await?;
        sqlx::query("insert into cart_takes (order_id) values (?) on conflict do nothing")
            .bind(&order.id)
            .execute(self.orders.pool())
            .await
            .map_err(BackendError::from)?;
        Ok(())
    }

    /// What became of a global transaction: committed, rolled back, or not decided yet. The coordinator forgets outcomes
    /// after a day, but never one that left rows behind to be undone: a row of a forgotten transaction was committed.
    ///
    /// # Errors
    /// If the coordinator does not answer.
    pub async fn decision(&self, xid: &str) -> Result<Option<bool>, DtxError> {
        Ok(match self.dtx.status(xid).await? {
            None | Some(GlobalStatus::Committing | GlobalStatus::Committed) => Some(true),
            Some(GlobalStatus::RolledBack) => Some(false),
            Some(_) => None,
        })
    }

    /// True if the rows of a global transaction will stay.
    ///
    /// # Errors
    /// If the coordinator does not answer.
    pub async fn is_committed(&self, xid: &str) -> Result<bool, DtxError> {
        Ok(self.decision(xid).await? == Some(true))
    }

    /// Runs the sweepers until `stop`: interrupted merges, abandoned order tokens, rows that have had their time.
    pub async fn sweep(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.sweep_once().await {
                tracing::warn!(error = chain(&error), "a sweep failed");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    async fn sweep_once(&self) -> Result<(), StoresError> {
        self.settle_tokens(TOKEN_LEASE + SWEEP).await?;
        self.empty_carts().await?;
        self.finish_merges().await?;
        self.carts.purge().await?;
        self.spent.purge(1_000).await?;
        Ok(())
    }
}

/// The way of a message from the outbox to the notification. Only the process that holds the folder's lock opens it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// From the outbox to the broker.
    pub relay: Relay,
    /// From the broker to the notification.
    pub consumer: Consumer<Database>,
}

impl Delivery {
    /// Opens the broker and both ends.
    ///
    /// # Errors
    /// If a store cannot be opened.
    pub async fn open(folder: &Path, stores: &Stores) -> Result<Self, StoresError> {
        let pool = sqlite::open(folder.join("broker.db")).await?;
        let options = SqliteBrokerOptions::default().with_instance("shop");
        let broker: Arc<dyn Broker> = Arc::new(SqliteBroker::open(pool, options).await?);
        let subscription = notify::subscription();
        broker.subscribe(&subscription).await?;
        let relay = Relay::new(stores.outbox.store(), Arc::clone(&broker), RelayOptions::default().with_owner("shop"))?;
        let inbox = Inbox::new(stores.notify.clone());
        inbox.migrate().await?;
        Ok(Self { relay, consumer: Consumer::new(broker, subscription, inbox, notify::handle) })
    }

    /// Delivers what is in the outbox and the broker.
    ///
    /// # Errors
    /// If a store does not answer.
    pub async fn drain(&self, within: Duration) -> Result<(), StoresError> {
        self.relay.drain(within).await?;
        self.consumer.drain(within).await?;
        Ok(())
    }
}
