//! Random statements on random rows: through AT they answer and do what they do without, and after a rollback every row is
//! what it was, to the storage class.

use onceward_dtx::{At, DtxError, Options};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Executor, Row, Sqlite, SqliteConnection, SqliteExecutor, SqlitePool};
use testkit::Rng;

use crate::world::World;

const CASES: usize = 200;

#[derive(Clone, Debug)]
enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// A statement and its arguments.
#[derive(Clone, Debug)]
struct Shot {
    text: String,
    args: Vec<Value>,
}

/// Not the largest integer: behind it SQLite makes up keys by chance.
fn value(rng: &mut Rng) -> Value {
    let small = i64::try_from(rng.below(7)).unwrap() - 3;
    match rng.below(12) {
        0 => Value::Null,
        1..=4 => Value::Int(small),
        5 => Value::Int(*rng.pick(&[1 << 62, i64::MIN, 1 << 53, 0])),
        6 => Value::Real(*rng.pick(&[0.1, -0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 3.0])),
        7 => Value::Blob(rng.pick(&[vec![], vec![0, 255], b"text".to_vec()]).clone()),
        _ => {
            Value::Text((*rng.pick(&["", "a", "A", "12", " 1 ", "1e3", "it's", "ü🦀", "nul\0inside", "?"])).to_owned())
        }
    }
}

fn columns(rng: &mut Rng) -> Vec<String> {
    let count = usize::try_from(rng.below(4)).unwrap() + 1;
    let types = ["", "integer", "real", "text", "blob", "numeric", "boolean", "datetime"];
    (0..count)
        .map(|at| {
            let check = if rng.chance(0.1) { " check (typeof(\"c\") is not null)" } else { "" };
            let name = if at == 0 { "c".to_owned() } else { format!("c {at}") };
            let unique = if rng.chance(0.15) { " unique" } else { "" };
            format!("\"{name}\" {}{unique}{check}", rng.pick(&types))
        })
        .collect()
}

/// A table with one of four kinds of keys.
fn schema(rng: &mut Rng) -> (String, Vec<&'static str>, usize) {
    let columns = columns(rng);
    let list = columns.join(", ");
    let (head, keys, tail) = match rng.below(4) {
        0 => ("id integer primary key", vec!["id"], ""),
        1 => ("id integer primary key autoincrement", vec!["id"], ""),
        2 => ("id not null primary key", vec!["id"], if rng.chance(0.5) { " without rowid" } else { "" }),
        _ => ("id text not null, part integer not null", vec!["id", "part"], ""),
    };
    let key = if keys.len() == 2 { ", primary key (part, id)" } else { "" };
    (format!("create table t ({head}, {list}{key}){tail}"), keys, columns.len())
}

fn column(at: usize) -> String {
    if at == 0 { "\"c\"".to_owned() } else { format!("\"c {at}\"") }
}

fn condition(rng: &mut Rng, keys: &[&str], width: usize, args: &mut Vec<Value>) -> String {
    match rng.below(7) {
        0 => String::new(),
        1 => {
            args.push(value(rng));
            format!(" where {} = ?", column(usize::try_from(rng.below(width as u64)).unwrap()))
        }
        2 => " where id in (select id from t as u where u.\"c\" is null or typeof(u.\"c\") = 'text')".to_owned(),
        3 => {
            args.push(value(rng));
            args.push(value(rng));
            " where id between ? and ? or id = 'where'".to_owned()
        }
        4 => format!(" where {} is not distinct from \"c\"", keys[0]),
        5 => " where exists (select 1 from t as u where u.id > t.id) -- returning".to_owned(),
        _ => {
            args.push(value(rng));
            " where id = ?".to_owned()
        }
    }
}

fn shot(rng: &mut Rng, keys: &[&str], width: usize) -> Shot {
    let mut args = Vec::new();
    let names: Vec<_> = (0..width).map(column).collect();
    let returning = if rng.chance(0.4) { "\nreturning quote(id), quote(\"c\")" } else { "" };
    let text = match rng.below(9) {
        0..=2 => {
            let rows = rng.below(3) + 1;
            let generated = keys.len() == 1 && rng.chance(0.5);
            let listed: Vec<_> =
                if generated { names } else { keys.iter().map(|&key| key.to_owned()).chain(names).collect() };
            let row = format!("({})", vec!["?"; listed.len()].join(", "));
            let rows: Vec<_> = (0..rows).map(|_| row.clone()).collect();
            args.extend((0..rows.len() * listed.len()).map(|_| value(rng)));
            let quiet = if rng.chance(0.3) { " on conflict do nothing" } else { "" };
            format!("insert into t ({}) values {}{quiet}", listed.join(", "), rows.join(", "))
        }
        3 => {
            let list: Vec<_> = keys.iter().map(|&key| key.to_owned()).chain(names.clone()).collect();
            let shifted: Vec<_> = keys.iter().map(|key| format!("{key} + 100")).chain(names).collect();
            format!("insert into t ({}) select {} from t where id > 0", list.join(", "), shifted.join(", "))
        }
        4..=6 => {
            let at = usize::try_from(rng.below(width as u64)).unwrap();
            let set = match rng.below(4) {
                0 => format!("{} = {} + 1", column(at), column(at)),
                1 => format!("{} = (select max(\"c\") from t)", column(at)),
                2 => format!("{} = id", column(at)),
                _ => {
                    args.push(value(rng));
                    format!("{} = ?", column(at))
                }
            };
            format!("update t set {set}{}", condition(rng, keys, width, &mut args))
        }
        _ => format!("delete from t{}", condition(rng, keys, width, &mut args)),
    };
    Shot { text: format!("{text}{returning}"), args }
}

/// Rows affected and the rows of RETURNING; an error as its text.
async fn fire(shot: &Shot, executor: impl SqliteExecutor<'_>) -> Result<(u64, Vec<(String, String)>), String> {
    let mut args = SqliteArguments::default();
    for value in &shot.args {
        match value {
            Value::Null => args.add(None::<i64>),
            Value::Int(value) => args.add(value),
            Value::Real(value) => args.add(value),
            Value::Text(value) => args.add(value),
            Value::Blob(value) => args.add(value),
        }
        .unwrap();
    }
    let query = sqlx::query_with(AssertSqlSafe(shot.text.clone()), args);
    if shot.text.contains("\nreturning") {
        let rows = query.fetch_all(executor).await.map_err(|error| error.to_string())?;
        return Ok((0, rows.iter().map(|row| (row.get(0), row.get(1))).collect()));
    }
    let done = query.execute(executor).await.map_err(|error| error.to_string())?;
    Ok((done.rows_affected(), Vec::new()))
}

/// Every value of every row with its storage class.
async fn snapshot(pool: &SqlitePool, keys: &[&str], width: usize) -> Vec<String> {
    let names = keys.iter().map(|&key| key.to_owned()).chain((0..width).map(column));
    let parts: Vec<_> = names
        .map(|name| format!("typeof({name}) || ':' || quote({name}) || ':' || hex(cast({name} as blob))"))
        .collect();
    let text = format!("select {} from t order by 1", parts.join(" || ' | ' || "));
    sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(pool).await.unwrap()
}

async fn fill(conn: &mut SqliteConnection, schema: &str, rows: &[Shot]) {
    conn.execute(AssertSqlSafe("drop table if exists t".to_owned())).await.unwrap();
    conn.execute(AssertSqlSafe(schema.to_owned())).await.unwrap();
    for row in rows {
        // Some rows break a constraint; both sides drop the same ones.
        let _ = fire(row, &mut *conn).await;
    }
}

type Answers = Vec<Result<(u64, Vec<(String, String)>), String>>;

/// Fires until the first error, which rolls the branch back.
async fn through_at(world: &World, at: &At<Sqlite>, shots: &[Shot], commit: bool) -> (Answers, Result<(), DtxError>) {
    let mut answers = Vec::new();
    let end = world
        .dtx
        .run(Options::new("random"), async |_| {
            let mut tx = at.begin().await?;
            for shot in shots {
                answers.push(fire(shot, &mut *tx).await);
                if answers.last().unwrap().is_err() {
                    return Err(DtxError::NoTransaction);
                }
            }
            tx.commit().await?;
            if commit { Ok(()) } else { Err(DtxError::NoTransaction) }
        })
        .await;
    (answers, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn random_statements_answer_and_change_the_same_and_are_undone_exactly() {
    let world = World::new().await;
    let at = &world.at[0];
    let plain = onceward_backend::sqlite::open(world.disk.path().join("plain.db")).await.unwrap();
    let mut seeds = Rng::new(testkit::seed());
    let (mut changed, mut failed) = (0, 0);
    for case in 0..CASES * testkit::scale() {
        let mut rng = seeds.fork();
        let (schema, keys, width) = schema(&mut rng);
        let rows: Vec<_> = (0..8).map(|_| shot(&mut rng, &keys, width)).collect();
        let shots: Vec<_> = (0..=rng.below(5)).map(|_| shot(&mut rng, &keys, width)).collect();
        let told = || format!("case {case}\n{schema};\n{rows:#?}\n{shots:#?}");
        for pool in [&plain, at.pool()] {
            fill(&mut pool.acquire().await.unwrap(), &schema, &rows).await;
        }
        let start = snapshot(&plain, &keys, width).await;
        assert_eq!(snapshot(at.pool(), &keys, width).await, start, "{}", told());

        let (undone, end) = through_at(&world, at, &shots, false).await;
        assert!(matches!(end, Err(DtxError::NoTransaction)), "{end:?} {}", told());
        assert_eq!(snapshot(at.pool(), &keys, width).await, start, "undone: {}", told());

        let mut tx = plain.begin().await.unwrap();
        let mut expected = Vec::new();
        for shot in &shots {
            expected.push(fire(shot, &mut *tx).await);
            if expected.last().unwrap().is_err() {
                break;
            }
        }
        let breaks = expected.last().unwrap().is_err();
        if breaks {
            tx.rollback().await.unwrap()
        } else {
            tx.commit().await.unwrap()
        }
        assert_eq!(undone, expected, "{}", told());
        // Rows that came back may lie in another order, on which a unique key that moves can depend.
        fill(&mut at.pool().acquire().await.unwrap(), &schema, &rows).await;
        let (kept, end) = through_at(&world, at, &shots, true).await;
        assert_eq!((kept, end.is_err()), (expected, breaks), "{}", told());
        let last = snapshot(&plain, &keys, width).await;
        assert_eq!(snapshot(at.pool(), &keys, width).await, last, "kept: {}", told());
        world.dtx.recover().await.unwrap();
        changed += usize::from(last != start);
        failed += usize::from(breaks);
    }
    println!("{changed} cases changed rows, {failed} met an error");
    assert!(changed > CASES / 8 && failed < CASES * testkit::scale(), "the cases test too little");
    world.quiet().await;
}
