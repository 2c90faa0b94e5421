//! Everything the shop keeps, and what holds between its stores, whatever they live in.

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::{BackendError, KeyRing};
use onceward_cart_store::{Bought, Carts, Error as CartError, GuestId, LineKey, MemberId, OrderId, Owner};
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{AtDb, Dtx, DtxError, DtxOptions, GlobalStatus, Tc, TcOptions, TransactionFilter};
use onceward_idempotency::{FormTokens, Settle, TokenConfig};
use onceward_oauth_client::Stores as OauthStores;
use onceward_reliable_mq::{Broker, Relay, RelayOptions, Store};
use reqwest::Url;
use sqlx::Pool;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::hold::Hold;
use crate::notify::{self, Notices, Sender};
use crate::orders::{Order, Orders};
use crate::problem::chain;
use crate::servers::ServerError;
use crate::session::SessionStore;
use crate::stock::Stock;
use crate::users::Users;
use crate::wallet::Wallets;

pub mod embedded;
mod ledgers;
pub mod services;

use ledgers::Ledgers;

/// A place-order transaction lives no longer than that.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
/// A coordinator that shares its store with another process and is silent for that long is taken for dead.
const LEASE: Duration = Duration::from_secs(2);
/// A claim on an order token outlives the transaction that it guards.
const TOKEN_LEASE: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(5);
/// A sweep that takes longer hangs on a store; the next one asks anew.
const SWEEP_PATIENCE: Duration = Duration::from_secs(60);

/// Opening or recovering the stores failed.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// A store cannot be opened or read.
    #[error("a store cannot be opened")]
    Backend(#[from] BackendError),
    /// A server cannot be reached.
    #[error(transparent)]
    Server(#[from] ServerError),
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

/// How stores are opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// How long an order form can be submitted.
    pub order_token_ttl: Duration,
    /// The origin of a process of its own that has the wallets; none: they are here.
    pub wallet: Option<Url>,
    /// Where to wait, for a demonstration.
    pub hold: Hold,
}

impl Opening {
    /// Everything in this process.
    pub fn whole(order_token_ttl: Duration) -> Self {
        Self { order_token_ttl, wallet: None, hold: Hold::default() }
    }

    /// The coordinator on its store: alone, or beside that of the wallets' process.
    fn dtx(&self, store: Arc<dyn TcStore>) -> Dtx {
        let options = match self.wallet {
            None => TcOptions::default(),
            Some(_) => TcOptions::default().with_peers(LEASE),
        };
        Dtx::new(Arc::new(Tc::new(store, options)), DtxOptions::default().with_hook(Arc::new(self.hold.clone())))
    }
}

/// Coordinator and wallets of the process that has nothing else.
#[derive(Clone, Debug)]
pub struct WalletStores {
    /// Ends what was charged here.
    pub dtx: Dtx,
    /// Resource: wallets.
    pub wallets: Arc<dyn Wallets>,
}

impl WalletStores {
    async fn open<D: AtDb>(coordinator: Arc<dyn TcStore>, wallet: Pool<D>) -> Result<Self, StoresError> {
        let coordinator = Tc::new(coordinator, TcOptions::default().with_peers(LEASE));
        let dtx = Dtx::new(Arc::new(coordinator), DtxOptions::default());
        Ok(Self { wallets: ledgers::open_wallet(wallet, &dtx).await?, dtx })
    }
}

/// The stores and the services on them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// What is sold.
    pub catalog: Arc<Catalog>,
    /// Signs cookies, ids and tokens.
    pub keys: KeyRing,
    /// Users.
    pub users: Arc<dyn Users>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Pending logins and tokens of accounts.
    pub logins: OauthStores,
    /// Carts of guests and members.
    pub carts: Carts,
    /// The hidden order tokens.
    pub tokens: FormTokens,
    /// Where order tokens are kept that do not go by themselves when they have had their time.
    spent: Option<onceward_idempotency::SqlStore<sqlx::Sqlite>>,
    /// Global transactions.
    pub dtx: Dtx,
    /// Resource: orders.
    pub orders: Arc<dyn Orders>,
    /// Resource: stock.
    pub stock: Arc<dyn Stock>,
    /// Resource: wallets.
    pub wallet: Arc<dyn Wallets>,
    /// Messages of orders, in the database of the orders.
    pub outbox: Arc<dyn Store>,
    /// Notifications.
    pub notices: Arc<dyn Notices>,
}

impl Stores {
    /// Puts the catalogue's stock on the shelves, once. For the one process that may.
    ///
    /// # Errors
    /// If the store does not answer, or holds another catalogue's stock.
    pub async fn seed(&self) -> Result<(), StoresError> {
        Ok(self.stock.seed(&self.catalog).await?)
    }

    /// Settles what a dead process left: decides its global transactions, then its order tokens, takes what was bought
    /// out of the carts and finishes merges. For the one process that may, before it serves.
    ///
    /// # Errors
    /// If a store does not answer. A cart that cannot be merged or emptied now is left to the sweeper.
    pub async fn recover(&self) -> Result<(), StoresError> {
        let recovered = self.dtx.recover().await?;
        tracing::info!(?recovered, "global transactions of the last run are decided");
        self.outlive_predecessor().await?;
        self.settle_tokens(Duration::ZERO).await?;
        self.empty_carts().await?;
        self.finish_merges().await
    }

    /// Where another process has the wallets, the coordinator shares its store, and what a shop left open that was killed a
    /// moment ago is its own until its lease is over; then the wallets' process may be the first to undo its part.
    async fn outlive_predecessor(&self) -> Result<(), StoresError> {
        let undecided = [GlobalStatus::Active, GlobalStatus::RollingBack];
        let (open, until) = (TransactionFilter::default().in_states(undecided), Instant::now() + LEASE * 3);
        while Instant::now() < until && !self.dtx.transactions(&open).await?.is_empty() {
            sleep(LEASE / 10).await;
            self.dtx.recover().await?;
        }
        Ok(())
    }

    /// Ends claims on order tokens that have run for `older_than`: spent if their order stands, else free again.
    async fn settle_tokens(&self, older_than: Duration) -> Result<(), StoresError> {
        for running in self.tokens.running(older_than, 10_000).await? {
            let how = match self.orders.by_token(running.claim.id()).await? {
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
        for id in self.orders.in_carts().await? {
            let Some(order) = self.orders.by_id(&id).await? else { continue };
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
        for (guest, user) in self.sessions.merges().await? {
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
        Ok(self.sessions.merged(&guest.signed(&self.keys)).await?)
    }

    /// Takes what an order bought out of the cart, once, whoever comes first.
    ///
    /// # Errors
    /// If a store does not answer; to be repeated.
    pub async fn take_from_cart(&self, order: &Order) -> Result<(), StoresError> {
        if self.orders.has_left_cart(&order.id).await? {
            return Ok(());
        }
        let owner = Owner::Member(MemberId::new(order.user_id.as_str())?);
        let mut bought = Vec::new();
        for line in self.orders.lines(&order.id).await? {
            bought.push(Bought {
                key: LineKey::new(line.sku)?,
                quantity: u32::try_from(line.quantity).unwrap_or(u32::MAX),
            });
        }
        self.carts.take(&owner, &OrderId::new(order.id.as_str())?, &bought).await?;
        Ok(self.orders.left_cart(&order.id).await?)
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
            match timeout(SWEEP_PATIENCE, self.sweep_once()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "a sweep failed"),
                Err(_) => tracing::warn!("a sweep heard nothing from a store for too long"),
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
        if let Some(spent) = &self.spent {
            spent.purge(1_000).await?;
        }
        Ok(())
    }
}

/// The way of a message from the outbox to the notification. Only the one process that may opens it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Between the two.
    pub broker: Arc<dyn Broker>,
    /// From the outbox to the broker.
    pub relay: Relay,
    /// From the broker to the notification.
    pub sender: Arc<dyn Sender>,
}

impl Delivery {
    /// Opens both ends on a broker.
    ///
    /// # Errors
    /// If the broker or a store does not answer.
    pub async fn open(stores: &Stores, broker: Arc<dyn Broker>) -> Result<Self, StoresError> {
        // Before anything is relayed: a topic without a queue is refused.
        broker.subscribe(&notify::subscription()).await?;
        let options = RelayOptions::default().with_owner("shop");
        let relay = Relay::new(Arc::clone(&stores.outbox), Arc::clone(&broker), options)?;
        let sender = stores.notices.sender(Arc::clone(&broker)).await?;
        Ok(Self { broker, relay, sender })
    }

    /// Delivers what is in the outbox and the broker.
    ///
    /// # Errors
    /// If a store does not answer.
    pub async fn drain(&self, within: Duration) -> Result<(), StoresError> {
        self.relay.drain(within).await?;
        self.sender.drain(within).await?;
        Ok(())
    }
}

/// How order tokens are issued and claimed.
fn token_config(ttl: Duration) -> TokenConfig {
    TokenConfig::default().with_ttl(ttl).with_lease(TOKEN_LEASE).with_holder("shop")
}
