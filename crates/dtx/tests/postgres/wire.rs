//! Trips to the database, counted on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::{
    At, AtOptions, Coordinator, Dtx, DtxError, DtxOptions, GlobalStatus, LockInfo, MemoryStore, NewBranch, Options,
    Reason, Recovered, SqlStore, Tc, TcOptions, TransactionInfo, rm::Rm,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use testkit::{Mode, Proxy};
use tokio_util::sync::CancellationToken;

use crate::disk::{ACCOUNT, Disk};

/// A coordinator that counts registrations.
#[derive(Debug)]
struct Counting(Tc, AtomicUsize);

#[async_trait]
impl Coordinator for Counting {
    fn attach(&self, rm: Rm) {
        self.0.attach(rm);
    }

    async fn begin(&self, name: &str, timeout: Duration) -> Result<String, DtxError> {
        self.0.begin(name, timeout).await
    }

    async fn register(&self, branch: &NewBranch) -> Result<(), DtxError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.register(branch).await
    }

    async fn phase_one_failed(&self, xid: &str, branch_id: i64) -> Result<(), DtxError> {
        self.0.phase_one_failed(xid, branch_id).await
    }

    async fn check_locks(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<(), DtxError> {
        self.0.check_locks(xid, locks).await
    }

    async fn lock_freed(&self, lock: &LockKey, at_most: Duration) {
        self.0.lock_freed(lock, at_most).await;
    }

    async fn commit(&self, xid: &str) -> Result<GlobalStatus, DtxError> {
        self.0.commit(xid).await
    }

    async fn rollback(&self, xid: &str, reason: Reason) -> Result<GlobalStatus, DtxError> {
        self.0.rollback(xid, reason).await
    }

    async fn repaired(&self, xid: &str, branch_id: i64) -> Result<Option<GlobalStatus>, DtxError> {
        self.0.repaired(xid, branch_id).await
    }

    async fn status(&self, xid: &str) -> Result<Option<GlobalStatus>, DtxError> {
        self.0.status(xid).await
    }

    async fn reason(&self, xid: &str) -> Result<Option<Reason>, DtxError> {
        self.0.reason(xid).await
    }

    async fn recover(&self) -> Result<Recovered, DtxError> {
        self.0.recover().await
    }

    async fn run(&self, shutdown: CancellationToken) {
        self.0.run(shutdown).await;
    }

    async fn transactions(&self) -> Result<Vec<TransactionInfo>, DtxError> {
        self.0.transactions().await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, DtxError> {
        self.0.locks().await
    }
}

struct Wire {
    proxy: Proxy,
    pool: PgPool,
    dtx: Dtx,
    at: At<Postgres>,
    coordinator: Arc<Counting>,
    _disk: Disk,
}

impl Wire {
    /// A pool of one connection, which is not tested by a trip of its own before it is used.
    async fn new() -> Self {
        let disk = Disk::new().await;
        let proxy = Proxy::in_front_of(&disk.url("wire").await).await;
        let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
        let pool = options.connect(proxy.url()).await.unwrap();
        sqlx::query(ACCOUNT).execute(&pool).await.unwrap();
        sqlx::query("insert into account values (1, 'ann', 100), (2, 'bob', 100)").execute(&pool).await.unwrap();
        let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
        let coordinator = Arc::new(Counting(tc, AtomicUsize::new(0)));
        let dtx = Dtx::new(Arc::<Counting>::clone(&coordinator), DtxOptions::default());
        let at = At::new("wire", pool.clone(), &dtx, AtOptions::default()).await.unwrap();
        Self { proxy, pool, dtx, at, coordinator, _disk: disk }
    }

    /// The fewest trips that `work` takes in some runs: in one of them the catalogue may have been read anew.
    async fn fewest(&self, work: impl AsyncFn()) -> u64 {
        let mut fewest = u64::MAX;
        for _ in 0..6 {
            self.rest().await;
            self.proxy.reset_counts();
            work().await;
            self.rest().await;
            fewest = fewest.min(self.proxy.round_trips());
        }
        fewest
    }

    /// Waits until the connection is back: the driver looks after it in a trip of its own, whoever used it.
    async fn rest(&self) {
        let idle = async || if self.pool.num_idle() == 1 { Ok(()) } else { Err("in use") };
        testkit::eventually(Duration::from_secs(5), idle).await;
    }

    async fn plain(&self, statements: usize) -> u64 {
        self.fewest(async || {
            let mut tx = self.pool.begin().await.unwrap();
            for id in 1..=i64::try_from(statements).unwrap() {
                let update = sqlx::query("update account set balance = balance + 1 where id = $1").bind(id);
                update.execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        })
        .await
    }

    async fn branch(&self, statements: usize) -> u64 {
        self.fewest(async || {
            let work = async |_| {
                self.at
                    .branch(async |mut tx| {
                        for id in 1..=i64::try_from(statements).unwrap() {
                            let update = sqlx::query("update account set balance = balance + 1 where id = $1").bind(id);
                            update.execute(&mut *tx).await?;
                        }
                        Ok::<_, DtxError>(())
                    })
                    .await
            };
            self.dtx.run(Options::new("wire"), work).await.unwrap();
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_one_statement_is_three_trips_and_one_registration() {
    let wire = Wire::new().await;
    // BEGIN, the statement, COMMIT, and the driver's look after the connection, which nobody waits for.
    assert_eq!(wire.plain(1).await, 4);
    assert_eq!(wire.branch(1).await, 4);
    let registered = wire.coordinator.1.load(Ordering::SeqCst);
    assert_eq!(registered, 6, "one for each run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_more_statements_writes_its_undo_record_once_more() {
    let wire = Wire::new().await;
    assert_eq!((wire.plain(2).await, wire.branch(2).await), (5, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_not_registered() {
    let wire = Wire::new().await;
    let look = async || {
        let work = async |_| {
            let none = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
                let done = sqlx::query("update account set balance = 0 where id = 99").execute(&mut *tx).await?;
                assert_eq!(done.rows_affected(), 0);
                Ok::<_, DtxError>(())
            };
            wire.at.branch(none).await
        };
        wire.dtx.run(Options::new("nothing"), work).await.unwrap();
    };
    assert_eq!(wire.fewest(look).await, 4);
    assert_eq!(wire.coordinator.1.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_commit_was_not_answered_is_taken_back_with_the_whole() {
    let wire = Wire::new().await;
    let update = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
        sqlx::query("update account set balance = 0 where id = 1").execute(&mut *tx).await?;
        Ok::<_, DtxError>(())
    };
    for reply in [Mode::DropReplyTo(b"COMMIT".to_vec()), Mode::CutBefore(b"COMMIT".to_vec())] {
        wire.rest().await;
        let work = async |_| {
            wire.proxy.set(reply);
            // Whoever swallows the error cannot make it a success.
            assert!(wire.at.branch(update).await.is_err());
            Ok::<_, DtxError>(())
        };
        let answer = wire.dtx.run(Options::new("unanswered"), work).await;
        let doubted = matches!(answer, Err(DtxError::RolledBack { reason: Reason::Doubt, .. }));
        assert!(doubted || matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
        wire.dtx.recover().await.unwrap();
        let left: i64 =
            sqlx::query_scalar("select balance from account where id = 1").fetch_one(&wire.pool).await.unwrap();
        assert_eq!(left, 100);
        assert!(wire.dtx.undo_rows().await.unwrap().is_empty() && wire.dtx.locks().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_whose_reply_was_lost_stands() {
    let disk = Disk::new().await;
    let proxy = Proxy::in_front_of(&disk.url("tc").await).await;
    let pool = PgPoolOptions::new().connect(proxy.url()).await.unwrap();
    let store = SqlStore::new(pool).await.unwrap();
    let dtx = Dtx::new(Arc::new(Tc::new(Arc::new(store), TcOptions::default())), DtxOptions::default());
    let data = disk.pool("orders").await;
    sqlx::query(ACCOUNT).execute(&data).await.unwrap();
    sqlx::query("insert into account values (1, 'ann', 100)").execute(&data).await.unwrap();
    let at = At::new("orders", data.clone(), &dtx, AtOptions::default()).await.unwrap();
    let mut xid = String::new();
    let work = async |global: onceward_dtx::Global| {
        xid = global.xid().to_owned();
        crate::world::add(&at, 7).await?;
        proxy.set(Mode::DropReplyTo(b"COMMIT".to_vec()));
        Ok::<_, DtxError>(())
    };
    let answer = dtx.run(Options::new("unanswered"), work).await;
    assert!(matches!(answer, Err(DtxError::OutcomeUnknown { .. })), "{answer:?}");
    assert_eq!(dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Committing));
    assert_eq!(dtx.coordinator().rollback(&xid, Reason::Failed).await.unwrap(), GlobalStatus::Committing);
    dtx.recover().await.unwrap();
    assert_eq!(dtx.coordinator().commit(&xid).await.unwrap(), GlobalStatus::Committed);
    let left: i64 = sqlx::query_scalar("select balance from account where id = 1").fetch_one(&data).await.unwrap();
    assert_eq!(left, 107);
}
