//! `shop verify`: the invariants, checked on the stores themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use sqlx::Pool;
use tokio::time::{Instant, sleep};

use crate::Database;
use crate::catalog::OPENING_BALANCE;
use crate::cli::VerifyArgs;
use crate::folder::{Folder, FolderError, Settings};
use crate::orders;
use crate::problem::chain;
use crate::stores::{Delivery, Stores};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long a running shop is given to come to rest.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
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
    let settings = Settings::read(&args.data)?;
    Settings::stores_exist(&args.data)?;
    match Folder::existing(&args.data) {
        // Nobody serves: what a dead process left is settled first, as a start would.
        Ok(folder) => {
            let stores = Stores::open(folder.path(), &settings, OLD).await?;
            let delivery = Delivery::open(folder.path(), &stores).await?;
            stores.recover().await?;
            delivery.drain(PATIENCE).await?;
            check(&stores).await
        }
        Err(FolderError::Locked(_)) => beside(&args.data, &settings).await,
        Err(error) => Err(error.into()),
    }
}

/// Looks again and again while a shop is running: what fails may be on its way, and so may what cannot be read.
async fn beside(folder: &Path, settings: &Settings) -> Result<Vec<Invariant>, Error> {
    let until = Instant::now() + PATIENCE;
    let mut stores = None;
    loop {
        let found = look(folder, settings, &mut stores).await;
        let done = matches!(&found, Ok(invariants) if invariants.iter().all(|invariant| invariant.ok));
        if done || Instant::now() > until {
            return found;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

async fn look(folder: &Path, settings: &Settings, stores: &mut Option<Stores>) -> Result<Vec<Invariant>, Error> {
    let opened = match stores.take() {
        Some(opened) => opened,
        None => Stores::open(folder, settings, OLD).await?,
    };
    check(stores.insert(opened)).await
}

/// All invariants, each with what was counted.
///
/// # Errors
/// If a store cannot be read.
pub async fn check(stores: &Stores) -> Result<Vec<Invariant>, Error> {
    let books = Books::read(stores).await?;
    let mut invariants = vec![
        books.stock(stores),
        books.wallets(),
        books.debits(),
        books.moves(),
        books.tokens(),
        books.notifications(),
    ];
    invariants.push(nothing_stuck(stores).await?);
    let counts = stores.outbox.store().counts().await?;
    let dead = if counts.dead == 0 { String::new() } else { format!(", {} dead letters", counts.dead) };
    invariants.push(Invariant {
        name: "outbox-empty",
        ok: counts.is_empty() && counts.dead == 0,
        detail: format!("{} waiting, {} delayed, {} held{dead}", counts.hot, counts.delayed, counts.held),
    });
    Ok(invariants)
}

/// What the databases say, read once.
struct Books {
    orders: Vec<(String, String, String, i64, String)>,
    lines: Vec<(String, String, i64)>,
    stock: BTreeMap<String, i64>,
    moves: BTreeMap<(String, String), i64>,
    wallets: Vec<(String, i64)>,
    ledger: Vec<(String, String, i64)>,
    sent: BTreeMap<String, i64>,
}

impl Books {
    async fn read(stores: &Stores) -> Result<Self, sqlx::Error> {
        let orders = stores.orders.pool();
        let stock = stores.stock.pool();
        let wallet = stores.wallet.pool();
        let moves: Vec<(String, String, i64)> = all(stock, "select order_id, sku, quantity from stock_moves").await?;
        Ok(Self {
            orders: all(orders, "select id, user_id, status, total, order_token from orders").await?,
            lines: all(orders, "select order_id, sku, quantity from order_lines").await?,
            stock: all(stock, "select sku, quantity from stock").await?.into_iter().collect(),
            moves: moves.into_iter().map(|(order, sku, quantity)| ((order, sku), quantity)).collect(),
            wallets: all(wallet, "select user_id, balance from wallets").await?,
            ledger: all(wallet, "select reference, user_id, amount from ledger").await?,
            sent: all(&stores.notify, "select order_id, count(*) from notifications group by order_id")
                .await?
                .into_iter()
                .collect(),
        })
    }

    fn live(&self) -> impl Iterator<Item = &(String, String, String, i64, String)> {
        self.orders.iter().filter(|(_, _, status, ..)| status != "cancelled")
    }

    fn live_ids(&self) -> BTreeSet<&str> {
        self.live().map(|(id, ..)| id.as_str()).collect()
    }

    fn stock(&self, stores: &Stores) -> Invariant {
        let live = self.live_ids();
        let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
        for (order, sku, quantity) in &self.lines {
            if live.contains(order.as_str()) {
                *sold.entry(sku).or_default() += quantity;
            }
        }
        let products = stores.catalog.products();
        let wrong = products.iter().filter_map(|product| {
            let (left, sold) = (*self.stock.get(&product.sku)?, sold.get(product.sku.as_str()).copied().unwrap_or(0));
            (left + sold != product.initial_stock)
                .then(|| format!("{}: {left} left + {sold} sold is not {}", product.sku, product.initial_stock))
        });
        let missing = products.iter().filter(|product| !self.stock.contains_key(&product.sku));
        let wrong = wrong.chain(missing.map(|product| format!("{} has no stock row", product.sku)));
        invariant("stock-conserved", wrong, format!("{} SKUs, {} sold", self.stock.len(), sold.values().sum::<i64>()))
    }

    fn wallets(&self) -> Invariant {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, user, amount) in &self.ledger {
            *sums.entry(user).or_default() += amount;
        }
        let wrong = self.wallets.iter().filter_map(|(user, balance)| {
            let sum = sums.get(user.as_str()).copied().unwrap_or(0);
            (OPENING_BALANCE + sum != *balance).then(|| format!("{user}: {balance} is not {OPENING_BALANCE} + {sum}"))
        });
        invariant("wallets-balance", wrong, format!("{} wallets, {} entries", self.wallets.len(), self.ledger.len()))
    }

    fn debits(&self) -> Invariant {
        let debits: BTreeMap<&str, i64> =
            self.ledger.iter().map(|(order, _, amount)| (order.as_str(), *amount)).collect();
        let live = self.live_ids();
        let unpaid = self.live().filter(|(id, _, _, total, _)| debits.get(id.as_str()) != Some(&-total));
        let unpaid = unpaid.map(|(id, _, _, total, _)| format!("order {id} over {total} has no such debit"));
        let orphans = debits
            .keys()
            .filter(|order| !live.contains(*order))
            .map(|order| format!("a debit of {order} has no order"));
        invariant("orders-paid", unpaid.chain(orphans), format!("{} orders, {} debits", live.len(), debits.len()))
    }

    fn moves(&self) -> Invariant {
        let live = self.live_ids();
        let lines: BTreeMap<(&str, &str), i64> = self
            .lines
            .iter()
            .filter(|(order, ..)| live.contains(order.as_str()))
            .map(|(order, sku, quantity)| ((order.as_str(), sku.as_str()), *quantity))
            .collect();
        let moves: BTreeMap<(&str, &str), i64> =
            self.moves.iter().map(|((order, sku), quantity)| ((order.as_str(), sku.as_str()), *quantity)).collect();
        let empty = live
            .iter()
            .filter(|id| !lines.keys().any(|(order, _)| order == *id))
            .map(|id| format!("order {id} has no line"));
        let unmoved = lines.iter().filter(|(key, quantity)| moves.get(*key) != Some(*quantity));
        let unmoved = unmoved.map(|((order, sku), _)| format!("{sku} of order {order} was not taken from stock"));
        let orphans = moves.keys().filter(|key| !lines.contains_key(*key));
        let orphans = orphans.map(|(order, sku)| format!("{sku} was taken for {order}, which has no such line"));
        let wrong = empty.chain(unmoved).chain(orphans);
        invariant("orders-stocked", wrong, format!("{} lines, {} moves", lines.len(), moves.len()))
    }

    fn tokens(&self) -> Invariant {
        let mut seen = BTreeSet::new();
        let twice = self.orders.iter().filter(|(.., token)| !seen.insert(token.as_str()));
        let wrong: Vec<_> = twice.map(|(id, ..)| format!("order {id} shares its token")).collect();
        invariant("one-order-per-token", wrong.into_iter(), format!("{} tokens", seen.len()))
    }

    fn notifications(&self) -> Invariant {
        let live = self.live_ids();
        let counts = live.iter().filter_map(|id| {
            let sent = self.sent.get(*id).copied().unwrap_or(0);
            (sent != 1).then(|| format!("order {id} was notified {sent} times"))
        });
        let orphans = self.sent.keys().filter(|id| !live.contains(id.as_str()));
        let wrong = counts.chain(orphans.map(|id| format!("a notification of {id} has no order")));
        invariant("notified-once", wrong, format!("{} orders, {} notified", live.len(), self.sent.len()))
    }
}

async fn all<R>(pool: &Pool<Database>, query: &'static str) -> Result<Vec<R>, sqlx::Error>
where
    R: for<'r> sqlx::FromRow<'r, <Database as sqlx::Database>::Row> + Send + Unpin,
{
    sqlx::query_as(query).fetch_all(pool).await
}

fn invariant(name: &'static str, wrong: impl Iterator<Item = String>, fine: String) -> Invariant {
    let wrong: Vec<_> = wrong.collect();
    let more = if wrong.len() > 5 { format!(" and {} more", wrong.len() - 5) } else { String::new() };
    let detail =
        if wrong.is_empty() { fine } else { wrong.iter().take(5).cloned().collect::<Vec<_>>().join("; ") + &more };
    Invariant { name, ok: wrong.is_empty(), detail }
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
        let order = orders::by_token(stores.orders.pool(), running.claim.id()).await?;
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
