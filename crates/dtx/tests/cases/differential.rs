//! Random statements on random rows, in sessions of random settings: through AT they answer and do what they do without, and
//! after a rollback every row is what it was.

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use onceward_dtx::{
    At, AtOptions, AtTransaction, Dtx, DtxError, DtxOptions, MemoryStore, Options, TableOptions, Tc, TcOptions,
};
use sqlx::{AssertSqlSafe, Connection, Either, Pool};
use testkit::Rng;

use crate::disk::{Db, DbExecutor, Disk};
use crate::random;
use crate::script::{Case, Statement};
use crate::shrink::shrunk;

const CASES: usize = 200;
/// That many cases run side by side, each on databases of its own.
const LANES: usize = 4;
/// How often a failing case is tried with less in it.
const TRIES: usize = 400;
/// What servers say to a statement that lacks something it needs, which is another failure than the one looked for.
const NONSENSE: [&str; 5] = ["syntax error", "does not exist", "no such", "has no field", "unknown table"];

/// Rows affected and the rows of RETURNING; an error as its text.
type Answer = Result<(u64, Vec<Vec<String>>), String>;

/// What went wrong: where, and how it looks.
struct Failure {
    what: &'static str,
    told: String,
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &'static str, found: &T, expected: &T) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure { what, told: format!("found {found:#?}\nexpected {expected:#?}") })
}

/// What the server said, wherever in an error it stands.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(answer) = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error) {
            // Several rows may violate several keys, also of several partitions and at the commit: which of them is met first is
            // the plan's affair.
            return match answer.is_foreign_key_violation() || answer.is_unique_violation() {
                true => "a key is violated".to_owned(),
                false => answer.message().to_owned(),
            };
        }
        next = error.source();
    }
    format!("{error:?}")
}

async fn fire(statement: &Statement, executor: impl DbExecutor<'_>) -> Answer {
    let (text, values) = statement.bound();
    let query = sqlx::query_with(AssertSqlSafe(text), random::arguments(&values));
    let mut results = executor.fetch_many(query);
    let (mut count, mut rows) = (0, Vec::new());
    while let Some(result) = results.try_next().await.map_err(|error| said(&error))? {
        match result {
            Either::Left(done) => count += done.rows_affected(),
            Either::Right(row) => rows.push(random::cells(&row)),
        }
    }
    Ok((count, rows))
}

/// The answers without the private columns behind the user's, and without the order of the rows.
fn bare(mut answers: Vec<Answer>, like: &[Answer]) -> Vec<Answer> {
    for (answer, like) in answers.iter_mut().zip(like) {
        if let (Ok((_, rows)), Ok((_, expected))) = (answer, like) {
            let width = expected.first().map_or(usize::MAX, Vec::len);
            rows.iter_mut().for_each(|row| row.truncate(width));
            rows.sort();
        }
    }
    answers
}

/// Runs the branch without AT, up to its first error. The last answer is that of the commit.
async fn plainly(pool: &Pool<Db>, branch: &[Statement]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut tx = pool.begin().await.unwrap();
    for statement in branch {
        answers.push(fire(statement, &mut *tx).await);
        if answers.last().is_some_and(Result::is_err) {
            tx.rollback().await.unwrap();
            return answers;
        }
    }
    answers.push(tx.commit().await.map(|()| (0, Vec::new())).map_err(|error| said(&error)));
    answers
}

/// Makes the tables anew and fills them.
async fn fill(pool: &Pool<Db>, case: &Case) -> Vec<Answer> {
    let mut answers = Vec::new();
    random::wipe(pool).await;
    let mut conn = pool.acquire().await.unwrap();
    // What is prepared there is for the tables of another case.
    conn.clear_cached_statements().await.unwrap();
    for table in &case.tables {
        // How many rows a definition changes is not said everywhere.
        answers.push(fire(table, &mut *conn).await.map(|_| (0, Vec::new())));
    }
    for statement in &case.rows {
        answers.push(fire(statement, &mut *conn).await);
    }
    answers
}

/// What a case came to.
#[derive(Default)]
struct Outcome {
    changed: bool,
    failed: bool,
}

/// The settings that a session takes with its next use.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<String>>);

impl Sessions {
    fn take(&self, settings: &[Statement]) {
        *self.0.lock().unwrap() = settings.iter().map(|set| format!("{set};")).collect();
    }

    pub(crate) fn settings(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Databases of its own for one case after the other.
struct Lane<'a> {
    disk: &'a Disk,
    number: usize,
    sessions: Sessions,
    /// By their places.
    open: HashMap<String, Place>,
}

/// A database without AT, and the same as a resource.
struct Place {
    plain: Pool<Db>,
    dtx: Dtx,
    at: At<Db>,
}

impl Lane<'_> {
    async fn attempt(&mut self, case: &Case) -> Result<Outcome, Failure> {
        let name = case.place.iter().map(|statement| format!("{statement};")).collect::<String>();
        if !self.open.contains_key(&name) {
            self.sessions.take(&[]);
            let (plain, pool) = random::pools(self.disk, self.number, &name, &self.sessions).await;
            // Their triggers derive a column from another one, before or behind the change.
            let trusted =
                |name| TableOptions::new(name).with_trusted_trigger("derive").with_trusted_trigger("derive_new");
            let with = |options: AtOptions<Db>, name| options.with_table(trusted(name));
            let options = random::TABLES.into_iter().fold(AtOptions::default(), with);
            let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
            let dtx = Dtx::new(Arc::new(tc), DtxOptions::default());
            let at = At::new("random", pool, &dtx, options).await.unwrap();
            self.open.insert(name.clone(), Place { plain, dtx, at });
        }
        self.open[&name].compare(case, &self.sessions).await
    }

    /// Shrinks a failing case and tells it.
    async fn report(&mut self, number: usize, seed: u64, case: Case, Failure { what, told }: Failure) {
        println!("case {number} failed ({what}), and is made smaller now\n{case}\n{told}");
        let small = shrunk(case, TRIES, async |case| self.again(case, what).await.is_some()).await;
        let again = self.again(&small, what).await;
        let told = again.map_or_else(|| "this time it did not fail".to_owned(), |again| again.told);
        panic!("case {number}, which a run with ONCEWARD_SEED={seed} begins with: {what}\n{small}\n{told}");
    }

    /// The same failure of a smaller case.
    async fn again(&mut self, case: &Case, what: &str) -> Option<Failure> {
        self.clear().await;
        let failure = self.attempt(case).await.err()?;
        let same = failure.what == what && !NONSENSE.iter().any(|words| failure.told.contains(words));
        same.then_some(failure)
    }

    /// Forgets what a failed case has left.
    async fn clear(&mut self) {
        self.sessions.take(&[]);
        for place in self.open.values() {
            random::clear(&place.plain).await;
            random::clear(place.at.pool()).await;
        }
        self.open.clear();
    }
}

impl Place {
    async fn compare(&self, case: &Case, sessions: &Sessions) -> Result<Outcome, Failure> {
        let Self { plain, dtx, at } = self;
        let pool = at.pool();
        sessions.take(&[]);
        let filled = fill(plain, case).await;
        expect("filled", &fill(pool, case).await, &filled)?;
        let start = random::state(plain).await;
        expect("start", &random::state(pool).await, &start)?;
        at.forget_plans();
        sessions.take(&case.capturing);

        let expected = plainly(plain, &case.branch).await;
        let failed = expected.last().is_some_and(Result::is_err);
        let expected = bare(expected.clone(), &expected);
        let (answers, end) = self.through_at(case, sessions, false).await;
        expect("answers", &bare(answers, &expected), &expected)?;
        if !matches!(end, Err(DtxError::NoTransaction)) && !failed {
            let told = format!("{end:?}\n{:?}", dtx.parked().await);
            return Err(Failure { what: "rollback", told });
        }
        over(dtx).await?;
        sessions.take(&[]);
        expect("undone", &random::state(pool).await, &start)?;

        // Rows that came back may lie in another order, on which a unique key that moves can depend.
        fill(pool, case).await;
        at.forget_plans();
        sessions.take(&case.capturing);
        let (answers, end) = self.through_at(case, sessions, true).await;
        expect("answers again", &bare(answers, &expected), &expected)?;
        expect("commit", &end.is_err(), &failed)?;
        over(dtx).await?;
        sessions.take(&[]);
        let last = random::state(plain).await;
        expect("kept", &random::state(pool).await, &last)?;
        Ok(Outcome { changed: last != start, failed })
    }

    /// The same through AT, as a global transaction that is committed or rolled back.
    async fn through_at(&self, case: &Case, sessions: &Sessions, commit: bool) -> (Vec<Answer>, Result<(), DtxError>) {
        let mut answers = Vec::new();
        let work = async |_| {
            let mut tx: AtTransaction<Db> = self.at.begin().await?;
            // For all that comes after: the connection of the branch is in use.
            sessions.take(&case.undoing);
            for statement in &case.branch {
                answers.push(fire(statement, &mut *tx).await);
                if answers.last().is_some_and(Result::is_err) {
                    return Err(DtxError::NoTransaction);
                }
            }
            let end = tx.commit().await;
            answers.push(end.as_ref().map(|()| (0, Vec::new())).map_err(|error| said(error)));
            end?;
            if commit { Ok(()) } else { Err(DtxError::NoTransaction) }
        };
        let end = self.dtx.run(Options::new("random"), work).await;
        (answers, end)
    }
}

/// Nothing is left behind: no undo record, no lock, nothing parked.
async fn over(dtx: &Dtx) -> Result<(), Failure> {
    dtx.recover().await.unwrap();
    let left = (dtx.undo_rows().await.unwrap().len(), dtx.locks().await.unwrap().len());
    expect("over", &left, &(0, 0))?;
    expect("parked", &dtx.parked().await.unwrap().into_iter().map(|parked| parked.reason).collect(), &Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_statements_answer_and_change_the_same_and_are_undone_exactly() {
    let disk = Disk::new().await;
    let seed = testkit::seed();
    // 200 in the gate, ten thousand at twenty times the size.
    let cases = CASES.max(25 * testkit::scale().pow(2));
    let (next, changed, failed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let seeds = Cell::new((seed, Rng::new(seed)));
    let lane = async |lane: usize| {
        random::prepare(&disk, lane).await;
        let mut lane = Lane { disk: &disk, number: lane, sessions: Sessions::default(), open: HashMap::new() };
        while next.get() < cases {
            let number = next.replace(next.get() + 1);
            // The seed of a case is such that a run with that seed begins with this case.
            let (own, mut rng) = seeds.replace((0, Rng::new(0)));
            seeds.set((rng.next_u64() >> 16, rng));
            let case = random::case(&mut Rng::new(own));
            match lane.attempt(&case).await {
                Ok(outcome) => {
                    changed.set(changed.get() + usize::from(outcome.changed));
                    failed.set(failed.get() + usize::from(outcome.failed));
                }
                Err(failure) => lane.report(number, own, case, failure).await,
            }
        }
    };
    join_all((0..LANES).map(lane)).await;
    let (changed, failed) = (changed.get(), failed.get());
    println!("{cases} cases: {changed} changed rows, {failed} met an error");
    assert!(changed > cases / 3 && failed < cases * 3 / 5, "the cases test too little");
}
