//! Looks at the books in plain SQL, when all services are gone, and knows nothing of how they came about.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use onceward_backend::sqlite;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, PgPool, SqlitePool};
use testkit::eventually;

use crate::place::{ACCOUNTS, FILES, OFFICES, Route, SERVERS, START};
use crate::tally::Tally;

/// What the coordinators write for a transaction that is over.
const COMMITTED: i64 = 9;
const ROLLED_BACK: i64 = 11;
/// The longest until everything that was left open has ended: silent resources are asked again within 15 s.
const BOUND: Duration = Duration::from_secs(40);

enum Books {
    Server(PgPool),
    File(SqlitePool),
}

pub struct Auditor {
    offices: Vec<Books>,
    coordinators: Books,
}

/// What one transfer has noted: its side, and what the account got.
type Noted = Vec<(i64, i64)>;

impl Books {
    async fn at(url: &str) -> Self {
        match url.starts_with("postgres:") {
            true => Self::Server(PgPool::connect(url).await.unwrap()),
            false => Self::File(sqlite::open(url).await.unwrap()),
        }
    }

    async fn rows<T>(&self, text: &'static str) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        match self {
            Self::Server(pool) => sqlx::query_as(text).fetch_all(pool).await,
            Self::File(pool) => sqlx::query_as(text).fetch_all(pool).await,
        }
    }

    async fn run(&self, text: &str) {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        match self {
            Self::Server(pool) => drop(sqlx::raw_sql(text).execute(pool).await.unwrap()),
            Self::File(pool) => drop(sqlx::raw_sql(text).execute(pool).await.unwrap()),
        }
    }

    async fn count(&self, text: &'static str) -> Result<i64, sqlx::Error> {
        Ok(self.rows::<(i64,)>(text).await?[0].0)
    }
}

impl Auditor {
    /// Opens the accounts.
    pub async fn new(route: &Route) -> Self {
        let mut offices = Vec::new();
        let urls = FILES.map(|name| route.file(name).to_str().unwrap().to_owned());
        for url in route.servers.iter().chain(&urls) {
            let books = Books::at(url).await;
            books
                .run(
                    "create table account (id bigint primary key, amount bigint not null);
                     create table ledger (xid text, side bigint, attempt bigint, account bigint, amount bigint,
                         primary key (xid, side, attempt));
                     create table interest (id bigint primary key, account bigint, amount bigint)",
                )
                .await;
            for id in 0..ACCOUNTS {
                books.run(&format!("insert into account values ({id}, {START})")).await;
            }
            offices.push(books);
        }
        assert_eq!((offices.len() as u64, SERVERS.len()), (OFFICES, route.servers.len()));
        Self { offices, coordinators: Books::at(&route.store).await }
    }

    /// Returns once nothing is open, locked, waited for or still to be undone or forgotten.
    pub async fn quiet(&self) {
        // An answer that a dead process has not read is no waiter any more.
        let left = [
            "select count(*) from dtx_global where status in (1, 4, 8)",
            "select count(*) from dtx_branch",
            "select count(*) from dtx_lock",
            "select count(*) from dtx_waiter where state = 1",
            "select count(*) from dtx_wait",
        ];
        eventually(BOUND, async || {
            let mut found = Vec::new();
            for text in left {
                found.push(self.coordinators.count(text).await?);
            }
            for office in &self.offices {
                found.push(office.count("select count(*) from undo_log where log_status = 0").await?);
            }
            match found.iter().all(|&count| count == 0) {
                true => Ok(()),
                false => Err(sqlx::Error::Protocol(format!("open, branches, locks, waiters, waits, undo: {found:?}"))),
            }
        })
        .await;
    }

    /// Whether the books are right, and agree with what the coordinators decided and the services were told.
    pub async fn audit(&self, tally: &Tally) {
        let mut wrong = Vec::new();
        let outcomes = self.outcomes(&mut wrong).await;
        let (mut noted, mut paid) = (BTreeMap::<String, Noted>::new(), HashSet::new());
        let (mut sum, mut interest, mut guards) = (0, 0, 0);
        for (number, office) in self.offices.iter().enumerate() {
            for (id, amount, moved, gained) in office.rows::<(i64, i64, i64, i64)>(ACCOUNT).await.unwrap() {
                if amount != START + moved + gained {
                    wrong.push(format!("account {number}/{id} has {amount}, noted are {moved} and {gained}"));
                }
                (sum, interest) = (sum + amount, interest + gained);
            }
            let ledger = "select xid, side, amount from ledger";
            for (xid, side, amount) in office.rows::<(String, i64, i64)>(ledger).await.unwrap() {
                noted.entry(xid).or_default().push((side, amount));
            }
            for (note,) in office.rows::<(i64,)>("select id from interest").await.unwrap() {
                paid.insert(format!("{number}/{note}"));
            }
            guards += self.guards(number, office, &outcomes, &mut wrong).await;
        }
        if sum != START * (ACCOUNTS * OFFICES).cast_signed() + interest {
            wrong.push(format!("the accounts have {sum} in all, of which {interest} is interest"));
        }
        for (xid, sides) in &noted {
            check_sides(xid, sides, outcomes.get(xid), &mut wrong);
        }
        for (xid, (_, sides)) in outcomes.iter().filter(|(_, (status, sides))| *status == COMMITTED && *sides > 0) {
            if !noted.contains_key(xid) {
                wrong.push(format!("{xid} was committed, and nothing of its {sides} sides is there"));
            }
        }
        let lost = tally.done.iter().filter(|xid| !noted.contains_key(*xid));
        wrong.extend(lost.map(|xid| format!("{xid} was acknowledged and is not there")));
        for xid in &tally.back {
            let outcome = outcomes.get(xid).map(|(status, _)| *status);
            if noted.contains_key(xid) || outcome != Some(ROLLED_BACK) {
                wrong.push(format!("{xid} was said to be rolled back, and ended as {outcome:?}"));
            }
        }
        let unpaid = tally.paid.iter().filter(|note| !paid.contains(*note));
        wrong.extend(unpaid.map(|note| format!("interest {note} was acknowledged and is not there")));
        println!("{} transfers took effect, {} interest notes, {guards} guards stay", noted.len(), paid.len());
        assert!(wrong.is_empty(), "{} findings, the first of them:\n{}", wrong.len(), first(&wrong));
    }

    /// How each transaction ended, and how many sides it has if it is a transfer.
    async fn outcomes(&self, wrong: &mut Vec<String>) -> BTreeMap<String, (i64, usize)> {
        let all = "select xid, name, status from dtx_global";
        let all = self.coordinators.rows::<(String, String, i64)>(all).await.unwrap();
        let unended = all.iter().filter(|(_, _, status)| ![COMMITTED, ROLLED_BACK].contains(status));
        wrong.extend(unended.map(|(xid, name, status)| format!("{name} {xid} has not ended: {status}")));
        let sides = |name: &str| name.strip_prefix("transfer ").map_or(0, |sides| sides.parse().unwrap());
        all.into_iter().map(|(xid, name, status)| (xid, (status, sides(&name)))).collect()
    }

    /// Counts the guards of an office. They stay for their retention, which no round lasts, and each has to be of a
    /// transaction that was rolled back. Nothing else may be left of the undo of any.
    async fn guards(
        &self,
        number: usize,
        office: &Books,
        outcomes: &BTreeMap<String, (i64, usize)>,
        wrong: &mut Vec<String>,
    ) -> usize {
        for text in ["select xid from dtx_parked", "select xid from dtx_undo_part", "select xid from dtx_repair"] {
            let left = office.rows::<(String,)>(text).await.unwrap();
            wrong.extend(left.into_iter().map(|(xid,)| format!("office {number}, {text}: {xid}")));
        }
        let guards = office.rows::<(String,)>("select xid from undo_log where log_status = 1").await.unwrap();
        for (xid,) in &guards {
            let outcome = outcomes.get(xid).map(|(status, _)| *status);
            if outcome != Some(ROLLED_BACK) {
                wrong.push(format!("office {number} has a guard of {xid}, which ended as {outcome:?}"));
            }
        }
        guards.len()
    }
}

/// All sides of a transfer that was committed, or none.
fn check_sides(xid: &str, sides: &Noted, outcome: Option<&(i64, usize)>, wrong: &mut Vec<String>) {
    let numbers: BTreeSet<_> = sides.iter().map(|(side, _)| *side).collect();
    let sum: i64 = sides.iter().map(|(_, amount)| amount).sum();
    let is_whole = outcome.is_some_and(|(status, all)| *status == COMMITTED && *all == sides.len());
    if !is_whole || numbers.len() != sides.len() || sum != 0 {
        wrong.push(format!("{xid} ended as {outcome:?} and has noted {sides:?}"));
    }
}

fn first(wrong: &[String]) -> String {
    wrong.iter().take(20).map(|finding| format!("  {finding}\n")).collect()
}

const ACCOUNT: &str = "select id, amount, \
    (select cast(coalesce(sum(l.amount), 0) as bigint) from ledger l where l.account = account.id), \
    (select cast(coalesce(sum(i.amount), 0) as bigint) from interest i where i.account = account.id) from account";
