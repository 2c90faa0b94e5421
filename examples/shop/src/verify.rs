//! `shop verify`: the invariants, checked on the stores themselves.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use onceward_dtx::TransactionFilter;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::cli::VerifyArgs;
use crate::folder::{Folder, FolderError, Settings};
use crate::home::Home;
use crate::now;
use crate::problem::chain;
use crate::stores::{Opening, Stores};

mod books;

use books::Books;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long a running shop is given to come to rest.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// A shop that was killed a moment ago gets that long to be gone.
const PREDECESSOR: Duration = Duration::from_secs(3);
/// A notification of a running shop may take that long. What is missing at the first look is older at the last one.
const ON_ITS_WAY: Duration = PATIENCE;
/// Nothing that is in flight may be older.
const OLD: Duration = Duration::from_secs(120);

/// One invariant and whether it holds.
#[derive(Debug, Serialize)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// True if it holds.
    pub ok: bool,
    /// What was counted, or what is wrong.
    pub detail: String,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    invariants: Vec<Invariant>,
}

/// Checks and prints. Exit 0: all hold; 1: one does not; 2: there are no stores to read.
pub async fn run(args: &VerifyArgs) -> ExitCode {
    match verify(args).await {
        Ok(invariants) => {
            let report = Report { ok: invariants.iter().all(|invariant| invariant.ok), invariants };
            let shown = if args.json { as_json(&report) } else { as_text(&report) };
            println!("{shown}");
            if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("shop verify: {}", chain(&*error));
            ExitCode::from(2)
        }
    }
}

fn as_json(report: &Report) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

fn as_text(report: &Report) -> String {
    let line = |invariant: &Invariant| {
        format!("{} {}: {}", if invariant.ok { "ok  " } else { "FAIL" }, invariant.name, invariant.detail)
    };
    let mut lines: Vec<_> = report.invariants.iter().map(line).collect();
    lines.push(if report.ok { "all invariants hold".into() } else { "the shop is not consistent".into() });
    lines.join("\n")
}

async fn verify(args: &VerifyArgs) -> Result<Vec<Invariant>, Error> {
    let home = args.backends.home(&args.data, &args.name.namespace)?;
    let settings = Settings::read(&args.data)?;
    home.exists().await?;
    match Folder::existing(&args.data) {
        Ok(_folder) => match home.claim(PREDECESSOR).await? {
            // Nobody serves: what a dead process left is settled first, as a start would.
            Some(_right) => {
                let stores = home.open(&settings, &Opening::whole(OLD)).await?;
                let delivery = home.delivery(&stores).await?;
                stores.recover().await?;
                delivery.drain(PATIENCE).await?;
                check(&stores, Shop::Rests).await
            }
            // A shop with another folder.
            None => beside(&home, &settings).await,
        },
        Err(FolderError::Locked(_)) => beside(&home, &settings).await,
        Err(error) => Err(error.into()),
    }
}

/// Looks again and again while a shop is running, at what has not held yet: a busy shop's databases are read one after
/// another, so that each invariant has to hold at some look, not all at one. What cannot be read now may be readable later.
/// Each look judges as if the shop were at rest; only the last one allows for what is on its way.
async fn beside(home: &Home, settings: &Settings) -> Result<Vec<Invariant>, Error> {
    let until = Instant::now() + PATIENCE;
    let mut stores = None;
    let mut held: Vec<Invariant> = Vec::new();
    loop {
        let last = Instant::now() > until;
        let shop = if last { Shop::Runs } else { Shop::Rests };
        let looked = look(home, settings, &mut stores, shop).await.map(|found| {
            for invariant in found {
                match held.iter_mut().find(|known| known.name == invariant.name) {
                    Some(known) if known.ok => {}
                    Some(known) => *known = invariant,
                    None => held.push(invariant),
                }
            }
        });
        let done = looked.is_ok() && held.iter().all(|invariant| invariant.ok);
        if done || last {
            return looked.map(|()| held);
        }
        sleep(PAUSE).await;
    }
}

async fn look(
    home: &Home,
    settings: &Settings,
    stores: &mut Option<Stores>,
    shop: Shop,
) -> Result<Vec<Invariant>, Error> {
    let opened = match stores.take() {
        Some(opened) => opened,
        None => home.open(settings, &Opening::whole(OLD)).await?,
    };
    check(stores.insert(opened), shop).await
}

/// What may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shop {
    /// Nothing.
    Rests,
    /// Orders and their messages.
    Runs,
}

/// All invariants, each with what was counted.
///
/// # Errors
/// If a store cannot be read.
pub async fn check(stores: &Stores, shop: Shop) -> Result<Vec<Invariant>, Error> {
    let on_its_way = match shop {
        Shop::Rests => i64::MAX,
        Shop::Runs => now() - i64::try_from(ON_ITS_WAY.as_micros()).unwrap_or(0),
    };
    let mut invariants = Books::read(stores).await?.check(&stores.catalog, on_its_way);
    invariants.push(nothing_stuck(stores).await?);
    invariants.push(outbox_empty(stores, shop).await?);
    Ok(invariants)
}

/// The outbox is empty; while a shop is selling, what is in it is on its way.
async fn outbox_empty(stores: &Stores, shop: Shop) -> Result<Invariant, Error> {
    let undecided = stores.dtx.transactions(&TransactionFilter::default()).await?.len();
    let counts = stores.outbox.counts().await?;
    let dead = if counts.dead == 0 { String::new() } else { format!(", {} dead letters", counts.dead) };
    let young = counts.delayed == 0 && counts.oldest.is_none_or(|age| age < ON_ITS_WAY);
    let moving = shop == Shop::Runs && young && usize::try_from(counts.held).is_ok_and(|held| held <= undecided);
    Ok(Invariant {
        name: "outbox-empty",
        ok: (counts.is_empty() || moving) && counts.dead == 0,
        detail: format!("{} waiting, {} delayed, {} held{dead}", counts.hot, counts.delayed, counts.held),
    })
}

/// No undo row, global lock, sealed cart or running token claim is older than two minutes, except what is parked and so
/// waits for a person.
async fn nothing_stuck(stores: &Stores) -> Result<Invariant, Error> {
    let undo = stores.dtx.undo_rows().await?.into_iter().filter(|row| row.age > OLD).count();
    let locks = stores.dtx.locks().await?.into_iter().filter(|lock| !lock.parked && lock.age > OLD).count();
    let sealed = stores.carts.unfinished_merges(OLD).await?.len();
    let parked: BTreeSet<_> = stores.dtx.parked().await?.into_iter().map(|branch| branch.xid).collect();
    let mut claims = 0;
    for running in stores.tokens.running(OLD, 1_000).await? {
        let order = stores.orders.by_token(running.claim.id()).await?;
        claims += usize::from(!order.is_some_and(|order| parked.contains(&order.xid)));
    }
    let parked = parked.len();
    Ok(Invariant {
        name: "nothing-stuck",
        ok: undo + locks + sealed + claims == 0,
        detail: format!(
            "older than two minutes: {undo} undo rows, {locks} locks, {sealed} sealed carts, {claims} token claims; {parked} parked"
        ),
    })
}
