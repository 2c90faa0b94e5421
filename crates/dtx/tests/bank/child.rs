//! The service that is killed: it moves money, pays interest, and says what it was told.

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::internal::{Sql, set_mark_hook};
use onceward_backend::{ErrorClass, RetryPolicy, sqlite};
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{At, AtDb, AtOptions, Dtx, DtxError, DtxOptions, Global, Options, SqlStore, Tc, TcOptions};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres, Sqlite};
use testkit::{Marks, Rng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::place::{ACCOUNTS, FILES, OFFICES, Route, SERVERS};

pub const LEASE: Duration = Duration::from_secs(1);
/// How long a transfer may stay undecided.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// A service may begin while its wires are spoilt.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bank {
    dtx: Dtx,
    offices: Vec<Office>,
}

/// A database with accounts.
enum Office {
    Server(At<Postgres>),
    File(At<Sqlite>),
}

pub async fn run(route: &Route, number: u64, seed: u64, clients: u64) {
    Marks::of(&route.folder, number).listen(set_mark_hook);
    let bank = Arc::new(opened(route).await);
    println!("ready");
    let mut rng = Rng::new(seed);
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let dtx = bank.dtx.clone();
        async move { dtx.work(CancellationToken::new()).await }
    });
    for _ in 0..clients {
        tasks.spawn(transfers(Arc::clone(&bank), rng.fork()));
    }
    if clients > 0 {
        tasks.spawn(interest(bank, number.cast_signed(), rng));
    }
    // None of them ends, but by a panic.
    tasks.join_next().await.unwrap().unwrap();
}

/// The bank, once everything that it needs could be reached and what was left behind was looked after.
async fn opened(route: &Route) -> Bank {
    let began = Instant::now();
    loop {
        let bank = async {
            let bank = open(route).await?;
            bank.dtx.recover().await?;
            Ok::<_, DtxError>(bank)
        };
        match bank.await {
            Ok(bank) => return bank,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn open(route: &Route) -> Result<Bank, DtxError> {
    let store: Arc<dyn TcStore> = match route.store.starts_with("postgres:") {
        true => Arc::new(SqlStore::new(pool(&route.store).await?).await?),
        false => Arc::new(SqlStore::<Sqlite>::open(&route.store).await?),
    };
    let retry = RetryPolicy::exponential().with_max(Duration::from_millis(500));
    let options = TcOptions::default().with_peers(LEASE).with_poll(Duration::from_millis(100)).with_retry(retry);
    let dtx = Dtx::new(Arc::new(Tc::new(store, options)), DtxOptions::default());
    let mut offices = Vec::new();
    for (name, url) in SERVERS.into_iter().zip(&route.servers) {
        offices.push(Office::Server(At::new(name, pool(url).await?, &dtx, patient()).await?));
    }
    for name in FILES {
        offices.push(Office::File(At::new(name, sqlite::open(route.file(name)).await?, &dtx, patient()).await?));
    }
    Ok(Bank { dtx, offices })
}

/// Few connections: several services share a server with other tests.
async fn pool(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(4).acquire_timeout(DEADLINE).connect(url).await
}

fn patient<D: AtDb>() -> AtOptions<D> {
    AtOptions::default().with_lock_timeout(Duration::from_secs(1))
}

/// An account of an office, and what it gets.
type Side = (usize, i64, i64);

async fn transfers(bank: Arc<Bank>, mut rng: Rng) {
    loop {
        let mut xid = String::new();
        let patience = if rng.chance(0.05) { rng.below(60) } else { 60_000 };
        let told = timeout(Duration::from_millis(patience), transfer(&bank, &mut rng, &mut xid)).await;
        let told = match told {
            Ok(Ok(())) => "done",
            Err(_) | Ok(Err(DtxError::OutcomeUnknown { .. })) => "unknown",
            Ok(Err(DtxError::NoTransaction)) => "back",
            Ok(Err(error)) if is_expected(&error) => "back",
            Ok(Err(error)) => panic!("{xid}: {error:?}"),
        };
        if !xid.is_empty() {
            println!("{told} {xid}");
        }
        sleep(Duration::from_millis(rng.below(20))).await;
    }
}

/// What an office, a coordinator or a wire that fails, and rows that others hold, may answer. All say that nothing stays.
fn is_expected(error: &DtxError) -> bool {
    match error {
        DtxError::Backend(error) => !matches!(error.class(), ErrorClass::Refused | ErrorClass::Corrupt),
        DtxError::LockConflict { .. }
        | DtxError::Deadlock { .. }
        | DtxError::Moved { .. }
        | DtxError::RolledBack { .. }
        | DtxError::RollbackInProgress { .. }
        | DtxError::Ended { .. } => true,
        _ => false,
    }
}

async fn transfer(bank: &Bank, rng: &mut Rng, xid: &mut String) -> Result<(), DtxError> {
    let sides = sides(rng);
    let fails = rng.chance(0.3);
    let options = Options::new(format!("transfer {}", sides.len())).with_timeout(DEADLINE);
    let work = async |global: Global| {
        global.xid().clone_into(xid);
        for (number, side) in (0..).zip(sides) {
            if let Err(error) = bank.post(global.xid(), number, 1, side).await {
                // Tried again, though a commit that was not answered may have taken effect: then all of it goes back.
                let DtxError::Backend(_) = error else { return Err(error) };
                bank.post(global.xid(), number, 2, side).await?;
            }
        }
        if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
    };
    bank.dtx.run(options, work).await
}

/// Two or three sides that cancel out, as a rule in one order everywhere: the others make circles.
fn sides(rng: &mut Rng) -> Vec<Side> {
    let mut sides: Vec<Side> = Vec::new();
    for _ in 0..=rng.below(2) {
        let (office, account) = account(rng);
        sides.push((office, account, rng.below(50).cast_signed() + 1));
    }
    let (office, account) = account(rng);
    sides.push((office, account, -sides.iter().map(|side| side.2).sum::<i64>()));
    if rng.chance(0.8) {
        sides.sort_unstable();
    }
    sides
}

/// An office and one of its accounts, most often the first.
fn account(rng: &mut Rng) -> (usize, i64) {
    let account = if rng.chance(0.5) { 0 } else { rng.below(ACCOUNTS).cast_signed() };
    (usize::try_from(rng.below(OFFICES)).unwrap(), account)
}

impl Bank {
    async fn post(&self, xid: &str, number: i64, attempt: i64, side: Side) -> Result<(), DtxError> {
        let (note, (office, account, amount)) = ((xid, number, attempt), side);
        match &self.offices[office] {
            Office::Server(at) => post(at, note, account, amount).await,
            Office::File(at) => post(at, note, account, amount).await,
        }
    }
}

async fn post<D: AtDb>(
    at: &At<D>,
    (xid, number, attempt): (&str, i64, i64),
    account: i64,
    amount: i64,
) -> Result<(), DtxError> {
    let sql = Sql::<D>::new();
    at.branch(async |mut tx| {
        let update = sql.sql("update account set amount = amount + ? where id = ?");
        assert_eq!(update.bind(amount).bind(account).execute(&mut tx).await?, 1);
        let note = sql.sql("insert into ledger (xid, side, attempt, account, amount) values (?, ?, ?, ?, ?)");
        note.bind(xid).bind(number).bind(attempt).bind(account).bind(amount).execute(&mut tx).await?;
        Ok::<_, DtxError>(())
    })
    .await
}

/// A writer of its own beside the transfers, which takes part in none.
async fn interest(bank: Arc<Bank>, service: i64, mut rng: Rng) {
    for number in 0.. {
        let (office, account) = account(&mut rng);
        let (note, amount) = (service * 1_000_000 + number, rng.below(3).cast_signed() + 1);
        let paid = match &bank.offices[office] {
            Office::Server(at) => pay(at, note, account, amount).await,
            Office::File(at) => pay(at, note, account, amount).await,
        };
        match paid {
            Ok(()) => println!("paid {office}/{note}"),
            Err(error) => assert!(is_expected(&error), "{error:?}"),
        }
        sleep(Duration::from_millis(20 + rng.below(60))).await;
    }
}

async fn pay<D: AtDb>(at: &At<D>, note: i64, account: i64, amount: i64) -> Result<(), DtxError> {
    let sql = Sql::<D>::new();
    at.local(async |mut tx| {
        let update = sql.sql("update account set amount = amount + ? where id = ?");
        update.bind(amount).bind(account).execute(&mut tx).await?;
        let insert = sql.sql("insert into interest (id, account, amount) values (?, ?, ?)");
        insert.bind(note).bind(account).bind(amount).execute(&mut tx).await?;
        Ok::<_, DtxError>(())
    })
    .await
}
