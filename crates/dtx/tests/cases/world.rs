//! A coordinator and its resources on databases that outlive them, as a process that may die.

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::RetryPolicy;
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{At, AtOptions, Dtx, DtxError, DtxOptions, Tc, TcOptions, TransactionFilter};
use sqlx::Pool;
use tokio_util::sync::CancellationToken;

use crate::disk::{ACCOUNT, Db, Disk};

pub(crate) const NAMES: [&str; 3] = ["orders", "stock", "wallet"];

pub(crate) struct World {
    pub(crate) dtx: Dtx,
    pub(crate) at: Vec<At<Db>>,
    pub(crate) disk: Arc<Disk>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::told(DtxOptions::default()).await
    }

    /// A world whose transaction manager has these options.
    pub(crate) async fn told(options: DtxOptions) -> Self {
        let disk = Arc::new(Disk::new().await);
        let coordinator = Tc::new(Arc::new(disk.store().await), TcOptions::default());
        let world = Self::start(disk, coordinator, options, &NAMES, AtOptions::default).await;
        world.fill().await;
        world
    }

    /// Two services on one coordinator's store, the first with one database and the second with two.
    pub(crate) async fn pair(options: [DtxOptions; 2]) -> [Self; 2] {
        let disk = Arc::new(Disk::new().await);
        let store: Arc<dyn TcStore> = Arc::new(disk.store().await);
        // What is the other's to ask for is its to ask for at once: nothing here gets better by waiting.
        let retry = RetryPolicy::exponential().with_base(Duration::from_secs(60)).with_max(Duration::from_secs(60));
        let peers = TcOptions::default().with_peers(Duration::from_secs(5)).with_retry(retry);
        let coordinator = || Tc::new(Arc::clone(&store), peers.clone());
        let [first, second] = options;
        let first = Self::start(Arc::clone(&disk), coordinator(), first, &NAMES[..1], AtOptions::default).await;
        let second = Self::start(disk, coordinator(), second, &NAMES[1..], AtOptions::default).await;
        first.fill().await;
        second.fill().await;
        [first, second]
    }

    async fn fill(&self) {
        for at in &self.at {
            sqlx::query(ACCOUNT).execute(at.pool()).await.unwrap();
            sqlx::query("insert into account values (1, 'ann', 100), (2, 'bob', 100)")
                .execute(at.pool())
                .await
                .unwrap();
        }
    }

    /// Starts a process on the databases.
    pub(crate) async fn open(disk: Arc<Disk>, options: impl Fn() -> AtOptions<Db>) -> Self {
        Self::coordinated(disk, TcOptions::default(), options).await
    }

    /// Starts one with a coordinator of its own settings.
    pub(crate) async fn coordinated(disk: Arc<Disk>, tc: TcOptions, options: impl Fn() -> AtOptions<Db>) -> Self {
        let coordinator = Tc::new(Arc::new(disk.store().await), tc);
        Self::start(disk, coordinator, DtxOptions::default(), &NAMES, options).await
    }

    async fn start(
        disk: Arc<Disk>,
        coordinator: Tc,
        dtx: DtxOptions,
        names: &[&str],
        options: impl Fn() -> AtOptions<Db>,
    ) -> Self {
        let dtx = Dtx::new(Arc::new(coordinator), dtx);
        let mut at = Vec::new();
        for name in names {
            at.push(At::new(*name, disk.pool(name).await, &dtx, options()).await.unwrap());
        }
        Self { dtx, at, disk }
    }

    /// The process dies without a word, and another one starts on its databases.
    pub(crate) async fn restart(self) -> Self {
        let disk = Arc::clone(&self.disk);
        drop(self);
        Self::open(disk, AtOptions::default).await
    }

    /// The background work, until the guard is dropped.
    pub(crate) fn worker(&self) -> Worker {
        let (dtx, stop) = (self.dtx.clone(), CancellationToken::new());
        tokio::spawn({
            let stop = stop.clone();
            async move { dtx.work(stop).await }
        });
        Worker(stop)
    }

    pub(crate) async fn balance(&self, at: usize, id: i64) -> Option<i64> {
        balance(self.at[at].pool(), id).await
    }

    pub(crate) async fn balances(&self) -> Vec<i64> {
        let mut all = Vec::new();
        for at in 0..self.at.len() {
            all.push(self.balance(at, 1).await.unwrap());
        }
        all
    }

    /// Returns once that many wait for rows.
    pub(crate) async fn waiting(&self, many: usize) {
        testkit::eventually(Duration::from_secs(20), async || match self.dtx.waiters().await {
            Ok(waiters) if waiters.len() == many => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Returns once nothing is open, locked or waiting for its second phase.
    pub(crate) async fn quiet(&self) {
        testkit::eventually(Duration::from_secs(20), async || {
            let undo = self.dtx.undo_rows().await.map_err(|error| error.to_string())?;
            let locks = self.dtx.locks().await.map_err(|error| error.to_string())?;
            let open = self.dtx.transactions(&TransactionFilter::default()).await.map_err(|error| error.to_string())?;
            let open: Vec<_> = open.iter().filter(|transaction| !transaction.status.is_over()).collect();
            let locks: Vec<_> = locks.iter().filter(|lock| !lock.parked).collect();
            if undo.is_empty() && locks.is_empty() && open.is_empty() {
                return Ok(());
            }
            Err(format!("{undo:?} {locks:?} {open:?}"))
        })
        .await;
    }
}

pub(crate) struct Worker(CancellationToken);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

pub(crate) async fn balance(pool: &Pool<Db>, id: i64) -> Option<i64> {
    sqlx::query_scalar("select balance from account where id = $1").bind(id).fetch_optional(pool).await.unwrap()
}

/// Adds to account 1 in a branch.
pub(crate) async fn add(at: &At<Db>, amount: i64) -> Result<(), DtxError> {
    at.branch(async |mut tx| {
        sqlx::query("update account set balance = balance + $1 where id = 1").bind(amount).execute(&mut *tx).await?;
        Ok(())
    })
    .await
}

/// Adds to account 1 in a branch that is given up between its registration and the answer of its local commit.
pub(crate) async fn add_in_doubt(world: &World, at: usize, xid: &str) {
    loop {
        let before = branches(world, xid).await;
        let mut branch = Box::pin(add(&world.at[at], 7));
        // Polled once between two looks. If it ends in that one poll, it is another one's turn.
        while let Err(()) = tokio::select! {
            biased;
            answer = &mut branch => answer.map_err(|error| unreachable!("{error}")),
            () = std::future::ready(()) => Err(()),
        } {
            if branches(world, xid).await > before {
                return;
            }
        }
    }
}

async fn branches(world: &World, xid: &str) -> usize {
    let open = world.dtx.transactions(&TransactionFilter::default()).await.unwrap();
    open.iter().find(|transaction| transaction.xid == xid).map_or(0, |transaction| transaction.branches.len())
}

/// Gives a table another name, so that whoever needs it fails until it has its own again.
pub(crate) async fn rename(pool: &Pool<Db>, from: &str, to: &str) {
    let text = sqlx::AssertSqlSafe(format!("alter table {from} rename to {to}"));
    sqlx::query(text).execute(pool).await.unwrap();
}
