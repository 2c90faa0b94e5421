//! Trips to the database, counted on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use onceward_backend::ErrorClass;
use onceward_backend::internal::Sql;
use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::{
    At, AtOptions, Coordinator, Dtx, DtxError, DtxOptions, GlobalStatus, LockInfo, MemoryStore, NewBranch, Options,
    Reason, Recovered, SqlStore, Tc, TcOptions, TransactionFilter, TransactionInfo, WaiterInfo, Watch, rm::Rm,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use testkit::{CountedPool, Mode, Proxy};
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

    async fn take_locks(&self, xid: &str, locks: &[LockKey]) -> Result<(), DtxError> {
        self.0.take_locks(xid, locks).await
    }

    async fn wait_for_locks(&self, xid: &str, locks: &[LockKey], at_most: Duration) -> Result<bool, DtxError> {
        self.0.wait_for_locks(xid, locks, at_most).await
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

    async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, DtxError> {
        self.0.transactions(filter).await
    }

    async fn waiters(&self) -> Result<Vec<WaiterInfo>, DtxError> {
        self.0.waiters().await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, DtxError> {
        self.0.locks().await
    }
}

struct Wire {
    counted: CountedPool<Postgres>,
    dtx: Dtx,
    at: At<Postgres>,
    coordinator: Arc<Counting>,
    _disk: Disk,
}

impl Wire {
    async fn new() -> Self {
        let disk = Disk::new().await;
        let counted = CountedPool::connect(&disk.url("wire").await).await;
        sqlx::query(ACCOUNT).execute(counted.pool()).await.unwrap();
        let fill = "insert into account select n, 'ann', 100 from generate_series(1, 100) n";
        sqlx::query(fill).execute(counted.pool()).await.unwrap();
        let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
        let coordinator = Arc::new(Counting(tc, AtomicUsize::new(0)));
        let dtx = Dtx::new(Arc::<Counting>::clone(&coordinator), DtxOptions::default());
        let at = At::new("wire", counted.pool().clone(), &dtx, AtOptions::default()).await.unwrap();
        Self { counted, dtx, at, coordinator, _disk: disk }
    }

    /// Trips and registrations of a branch whose statements are prepared and whose table is known.
    async fn costs(&self, statements: &[&'static str], changed: u64) -> (u64, usize) {
        loop {
            let (begun, before) = (five_seconds(), self.coordinator.1.load(Ordering::SeqCst));
            self.branch(statements, changed).await;
            let known = self.coordinator.1.load(Ordering::SeqCst);
            let ((), trips) = self.counted.trips(self.branch(statements, changed)).await;
            // Else the catalogue may have been read anew in between.
            if five_seconds() == begun {
                let registered = self.coordinator.1.load(Ordering::SeqCst) - known;
                assert_eq!(registered, known - before, "each time the same");
                return (trips, registered);
            }
        }
    }

    async fn branch(&self, statements: &[&'static str], changed: u64) {
        let work = async |_| {
            let branch = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
                let mut rows = 0;
                for statement in statements {
                    rows += sqlx::query(*statement).execute(&mut *tx).await?.rows_affected();
                }
                Ok::<_, DtxError>(rows)
            };
            self.at.branch(branch).await
        };
        assert_eq!(self.dtx.run(Options::new("wire"), work).await.unwrap(), changed);
    }
}

/// The number of the catalogue's life, which ends every five seconds.
fn five_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 5
}

const UPDATE: &str = "update account set balance = balance + 1 where id = 1";
const INSERT: &str = "insert into account (id, owner, balance) select max(id) + 1, 'eve', 0 from account";
const DELETE: &str = "delete from account where id = (select max(id) from account)";

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_one_statement_is_three_trips_and_one_registration() {
    let wire = Wire::new().await;
    for statement in [UPDATE, INSERT, DELETE] {
        // BEGIN, the statement, COMMIT.
        assert_eq!(wire.costs(&[statement], 1).await, (3, 1), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_more_statements_writes_its_undo_record_once_more() {
    let wire = Wire::new().await;
    let other = "update account set balance = balance + 1 where id = 2";
    assert_eq!(wire.costs(&[UPDATE, other], 2).await, (5, 1));
    assert_eq!(wire.costs(&[UPDATE, other, DELETE], 3).await, (6, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_not_registered() {
    let wire = Wire::new().await;
    assert_eq!(wire.costs(&["update account set balance = 0 where id = 0"], 0).await, (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_table_costs_a_branch_no_trip() {
    let wire = Wire::new().await;
    wire.at.watch("account", Watch::Report).await.unwrap();
    assert_eq!(wire.costs(&[UPDATE], 1).await, (3, 1));
    assert!(wire.at.bypasses(1).await.unwrap().is_empty());
    wire.at.unwatch("account").await.unwrap();
    assert_eq!(wire.costs(&[UPDATE], 1).await, (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_locked_first_are_read_before_and_after_the_wait() {
    let wire = Wire::new().await;
    let mut last = None;
    // Until the statements are prepared, and the catalogue is not read anew in between.
    loop {
        let begun = five_seconds();
        let lock = async |_| wire.at.lock("select id from account where id < 11").await;
        let (rows, trips) = wire.counted.trips(wire.dtx.run(Options::new("wire"), lock)).await;
        assert_eq!(rows.unwrap(), 10);
        if five_seconds() == begun && last.replace(begun) == Some(begun) {
            assert_eq!(trips, 2);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_commit_was_not_answered_is_taken_back_with_the_whole() {
    let disk = Disk::new().await;
    let proxy = Proxy::in_front_of(&disk.url("wire").await).await;
    let pool = PgPool::connect(proxy.url()).await.unwrap();
    sqlx::query(ACCOUNT).execute(&pool).await.unwrap();
    sqlx::query("insert into account values (1, 'ann', 100)").execute(&pool).await.unwrap();
    let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
    let dtx = Dtx::new(Arc::new(tc), DtxOptions::default());
    let at = At::new("wire", pool.clone(), &dtx, AtOptions::default()).await.unwrap();
    let update = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
        sqlx::query("update account set balance = 0 where id = 1").execute(&mut *tx).await?;
        Ok::<_, DtxError>(())
    };
    for reply in [Mode::DropReplyTo(b"COMMIT".to_vec()), Mode::CutBefore(b"COMMIT".to_vec())] {
        let work = async |_| {
            proxy.set(reply);
            // Whoever swallows the error cannot make it a success.
            assert!(at.branch(update).await.is_err());
            Ok::<_, DtxError>(())
        };
        let answer = dtx.run(Options::new("unanswered"), work).await;
        let doubted = matches!(answer, Err(DtxError::RolledBack { reason: Reason::Doubt, .. }));
        assert!(doubted || matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
        dtx.recover().await.unwrap();
        let left: i64 = sqlx::query_scalar("select balance from account where id = 1").fetch_one(&pool).await.unwrap();
        assert_eq!(left, 100);
        assert!(dtx.undo_rows().await.unwrap().is_empty() && dtx.locks().await.unwrap().is_empty());
    }
}

/// A resource, and a coordinator that is reached over a wire of its own.
struct Wired {
    proxy: Proxy,
    dtx: Dtx,
    at: At<Postgres>,
    _disk: Disk,
}

impl Wired {
    async fn new() -> Self {
        Self::patient(Duration::from_secs(30)).await
    }

    /// One whose coordinator waits that long for a connection.
    async fn patient(patience: Duration) -> Self {
        let disk = Disk::new().await;
        let proxy = Proxy::in_front_of(&disk.url("tc").await).await;
        // One connection, which is not tried out first: the prepared statement itself is what loses its reply.
        let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false).acquire_timeout(patience);
        let pool = options.connect(proxy.url()).await.unwrap();
        let store = SqlStore::new(pool).await.unwrap();
        let dtx = Dtx::new(Arc::new(Tc::new(Arc::new(store), TcOptions::default())), DtxOptions::default());
        let data = disk.pool("orders").await;
        sqlx::query(ACCOUNT).execute(&data).await.unwrap();
        sqlx::query("insert into account values (1, 'ann', 100)").execute(&data).await.unwrap();
        let at = At::new("orders", data, &dtx, AtOptions::default()).await.unwrap();
        Self { proxy, dtx, at, _disk: disk }
    }

    async fn balance(&self) -> i64 {
        let select = sqlx::query_scalar("select balance from account where id = 1");
        select.fetch_one(self.at.pool()).await.unwrap()
    }
}

/// The coordinator answers nothing any more: whether the branch is registered is not known, and it may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_not_answered_leaves_no_lock_behind() {
    let world = Wired::new().await;
    // At first the statement is not prepared, and is lost itself; then its reply is.
    for round in 0..2 {
        let work = async |_| {
            world.proxy.set(Mode::DropReplies);
            let answer = crate::world::add(&world.at, 7).await;
            world.proxy.set(Mode::Pass);
            answer
        };
        let answer = world.dtx.run(Options::new("unanswered"), work).await;
        assert!(matches!(answer, Err(DtxError::Backend(_))), "{answer:?}");
        assert!(
            world.dtx.locks().await.unwrap().is_empty()
                && world.dtx.transactions(&TransactionFilter::default()).await.unwrap().is_empty()
        );
        assert!(world.dtx.undo_rows().await.unwrap().is_empty());
        assert_eq!(world.balance().await, 100 + 7 * round);
        world.dtx.run(Options::new("next"), async |_| crate::world::add(&world.at, 7).await).await.unwrap();
        world.dtx.recover().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_not_answered_stands() {
    let world = Wired::new().await;
    world.dtx.run(Options::new("prepares"), async |_| crate::world::add(&world.at, 7).await).await.unwrap();
    let mut xid = String::new();
    let work = async |global: onceward_dtx::Global| {
        xid = global.xid().to_owned();
        crate::world::add(&world.at, 7).await?;
        world.proxy.set(Mode::DropReplies);
        Ok::<_, DtxError>(())
    };
    let answer = world.dtx.run(Options::new("unanswered"), work).await;
    world.proxy.set(Mode::Pass);
    assert!(matches!(answer, Err(DtxError::OutcomeUnknown { .. })), "{answer:?}");
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Committing));
    assert_eq!(world.dtx.coordinator().rollback(&xid, Reason::Failed).await.unwrap(), GlobalStatus::Committing);
    world.dtx.recover().await.unwrap();
    assert_eq!(world.dtx.coordinator().commit(&xid).await.unwrap(), GlobalStatus::Committed);
    assert_eq!(world.balance().await, 114);
}

/// Every call means the same when it is made twice, so it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_lost_reply_of_the_coordinator_s_database_is_not_noticed() {
    let world = Wired::new().await;
    world.dtx.run(Options::new("prepares"), async |_| crate::world::add(&world.at, 7).await).await.unwrap();
    let work = async |global: onceward_dtx::Global| {
        // What is bound to the registration, and then to the decision.
        world.proxy.set(Mode::DropReplyTo(b"\"branch\":".to_vec()));
        crate::world::add(&world.at, 7).await?;
        world.proxy.set(Mode::DropReplyTo(format!("[\"{}\"]", global.xid()).into_bytes()));
        Ok::<_, DtxError>(())
    };
    world.dtx.run(Options::new("unanswered"), work).await.unwrap();
    world.dtx.recover().await.unwrap();
    assert!(
        world.dtx.locks().await.unwrap().is_empty()
            && world.dtx.transactions(&TransactionFilter::default()).await.unwrap().is_empty()
    );
    assert_eq!(world.balance().await, 114);
}

/// The coordinator's database is restarted under callers: all connections are cut, and for a while there are none.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_connects_again_once_its_database_is_back() {
    let world = Wired::patient(Duration::from_secs(2)).await;
    let _worker = tokio::spawn({
        let dtx = world.dtx.clone();
        async move { dtx.work(CancellationToken::new()).await }
    });
    for round in 0..3 {
        world.dtx.run(Options::new("before"), async |_| crate::world::add(&world.at, 1).await).await.unwrap();
        world.proxy.settle(Mode::Refuse).await;
        let failed = world.dtx.run(Options::new("meanwhile"), async |_| crate::world::add(&world.at, 100).await).await;
        assert!(matches!(failed, Err(DtxError::Backend(_))), "{failed:?}");
        world.proxy.settle(Mode::Pass).await;
        // The first call that comes through, and all that follow, by the same coordinator.
        testkit::eventually(Duration::from_secs(10), async || {
            let run = world.dtx.run(Options::new("after"), async |_| crate::world::add(&world.at, 1).await);
            run.await.map_err(|error| format!("{error:?}"))
        })
        .await;
        assert_eq!(world.balance().await, 100 + 2 * (round + 1));
    }
    testkit::eventually(Duration::from_secs(20), async || {
        let open = world.dtx.transactions(&TransactionFilter::default()).await.map_err(|error| error.to_string())?;
        let undo = world.dtx.undo_rows().await.map_err(|error| error.to_string())?;
        if open.is_empty() && undo.is_empty() { Ok(()) } else { Err(format!("{open:?} {undo:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_apart_also_by_the_methods_of_other_crates() {
    let disk = Disk::new().await;
    let proxy = Proxy::in_front_of(&disk.url("wire").await).await;
    let pool = PgPool::connect(proxy.url()).await.unwrap();
    sqlx::query(ACCOUNT).execute(&pool).await.unwrap();
    let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
    let dtx = Dtx::new(Arc::new(tc), DtxOptions::default());
    let at = At::new("wire", pool, &dtx, AtOptions::default()).await.unwrap();
    let update = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
        proxy.cut();
        // As every `_tx` method runs its statements.
        Sql::<Postgres>::new().sql("update account set balance = 0 where id = 1").execute(&mut tx).await?;
        Ok::<_, DtxError>(())
    };
    let answer = at.local(update).await;
    assert!(matches!(&answer, Err(DtxError::Backend(error)) if error.class() == ErrorClass::Unknown), "{answer:?}");
}
