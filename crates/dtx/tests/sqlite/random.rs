//! Random cases for SQLite: values of all storage classes in columns of all affinities, tables, statements, and files and
//! connections that differ in their settings.

use std::fmt;

use onceward_backend::sqlite;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection, SqlitePool, TypeInfo, Value as _, ValueRef};
use testkit::Rng;

use crate::differential::Sessions;
use crate::disk::Disk;
use crate::script::{Case, Statement, Style, text};

mod joined;
mod statement;
mod table;

/// What connections may differ in, and must not matter.
const SETTINGS: [(&str, &[&str]); 6] = [
    ("reverse_unordered_selects", &["on", "off"]),
    ("case_sensitive_like", &["on", "off"]),
    ("recursive_triggers", &["on", "off"]),
    ("automatic_index", &["on", "off"]),
    ("cell_size_check", &["on", "off"]),
    ("temp_store", &["memory", "file"]),
];
/// How a file keeps its texts.
const ENCODINGS: [&str; 2] = ["'UTF-8'", "'UTF-16le'"];

/// The tables of all cases.
pub(crate) const TABLES: [&str; 2] = ["t", "U u"];

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    pub(crate) fn holder(&self, _: usize) -> String {
        "?".to_owned()
    }

    pub(crate) fn numbered(&self, at: usize) -> String {
        format!("?{at}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(i64::MIN) => f.write_str("(-9223372036854775807 - 1)"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Real(value) if value.is_infinite() => f.write_str(if *value > 0.0 { "9e999" } else { "-9e999" }),
            Self::Real(value) => write!(f, "{value:e}"),
            Self::Text(value) => {
                let parts: Vec<_> = value.split('\0').map(|part| format!("'{}'", part.replace('\'', "''"))).collect();
                f.write_str(&parts.join(" || char(0) || "))
            }
            Self::Blob(value) => {
                let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(f, "x'{digits}'")
            }
        }
    }
}

pub(crate) fn arguments(values: &[Value]) -> SqliteArguments {
    let mut args = SqliteArguments::default();
    for value in values {
        match value {
            Value::Null => args.add(None::<i64>),
            Value::Int(value) => args.add(value),
            Value::Real(value) => args.add(value),
            Value::Text(value) => args.add(value),
            Value::Blob(value) => args.add(value),
        }
        .unwrap();
    }
    args
}

/// The storage class and bytes of every value.
pub(crate) fn cells(row: &SqliteRow) -> Vec<String> {
    let cell = |at| {
        let value = row.try_get_raw(at).unwrap().to_owned();
        let class = value.type_info().name().to_owned();
        match class.as_str() {
            "INTEGER" => format!("{class} {}", value.decode_unchecked::<i64>()),
            "REAL" => format!("{class} {:x}", value.decode_unchecked::<f64>().to_bits()),
            _ if value.is_null() => "NULL".to_owned(),
            _ => format!("{class} {:?}", value.decode_unchecked::<Vec<u8>>()),
        }
    };
    (0..row.len()).map(cell).collect()
}

/// A pool for the statements without AT, and one for a resource.
pub(crate) async fn pools(disk: &Disk, lane: usize, place: &str, sessions: &Sessions) -> (SqlitePool, SqlitePool) {
    let encoding = if place.contains("16") { "utf16" } else { "utf8" };
    let path = |side: &str| disk.path().join(format!("{side}-{lane}-{encoding}.db"));
    (pool(&path("plain"), place, sessions).await, pool(&path("at"), place, sessions).await)
}

async fn pool(path: &std::path::Path, place: &str, sessions: &Sessions) -> SqlitePool {
    if !path.exists() && !place.is_empty() {
        // Before the file has anything in it, the journal's mode included.
        let new =
            SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true));
        let new = new.await.unwrap();
        let text = format!("{place} create table first (id integer primary key); drop table first");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&new).await.unwrap();
        new.close().await;
    }
    let usual = sqlite::open(path).await.unwrap();
    let (first, again) = (sessions.clone(), sessions.clone());
    let options = usual.options().clone().max_connections(1).test_before_acquire(false);
    let options =
        options.after_connect(move |conn, _| Box::pin(take(conn, first.settings()))).before_acquire(move |conn, _| {
            let taken = take(conn, again.settings());
            Box::pin(async move { taken.await.map(|()| true) })
        });
    let pool = options.connect_with((*usual.connect_options()).clone()).await.unwrap();
    usual.close().await;
    pool
}

async fn take(conn: &mut SqliteConnection, settings: String) -> sqlx::Result<()> {
    let usual = SETTINGS.map(|(name, values)| format!("pragma {name} = {};", values[1])).concat();
    sqlx::raw_sql(AssertSqlSafe(usual + &settings)).execute(conn).await.map(drop)
}

/// Makes what the tables of all cases need: nothing.
pub(crate) async fn prepare(_: &Disk, _: usize) {}

/// Forgets what a failed case has left.
pub(crate) async fn clear(pool: &SqlitePool) {
    for table in ["undo_log", "dtx_parked"] {
        // The file without AT has none.
        let _ = sqlx::query(AssertSqlSafe(format!("delete from {table}"))).execute(pool).await;
    }
}

/// Drops the tables of the last case.
pub(crate) async fn wipe(pool: &SqlitePool) {
    let text =
        "pragma foreign_keys = off; drop table if exists \"U u\"; drop table if exists t; pragma foreign_keys = on";
    sqlx::raw_sql(text).execute(pool).await.unwrap();
}

/// Every value of every row of every table, with its storage class.
pub(crate) async fn state(pool: &SqlitePool) -> Vec<String> {
    let tables = "select name from sqlite_schema where type = 'table' and name in ('t', 'U u') order by name";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(pool).await.unwrap();
    let mut state = Vec::new();
    for table in tables {
        let columns = "select name from pragma_table_xinfo(?) order by cid";
        let columns: Vec<String> = sqlx::query_scalar(columns).bind(&table).fetch_all(pool).await.unwrap();
        let part = |name: &String| {
            let name = name.replace('"', "\"\"");
            format!("typeof(\"{name}\") || ':' || quote(\"{name}\") || ':' || hex(cast(\"{name}\" as blob))")
        };
        let line = columns.iter().map(part).collect::<Vec<_>>().join(" || ' | ' || ");
        let text = format!(
            "select coalesce(group_concat(line, char(10)), '') from (select {line} as line from \"{table}\" order by 1)"
        );
        let text: String = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(pool).await.unwrap();
        state.push(format!("{table}: {text}"));
    }
    state
}

pub(crate) fn case(rng: &mut Rng) -> Case {
    let place = vec![pragma("encoding", rng.pick::<&str>(&ENCODINGS))];
    let (capturing, undoing) = (settings(rng), settings(rng));
    let parent = table::table(rng, None);
    let child = rng.chance(0.5).then(|| table::table(rng, Some(&parent)));
    let tables = [Some(&parent), child.as_ref()].into_iter().flatten().flat_map(|table| table.create.clone()).collect();
    let mut rows = Vec::new();
    for table in [Some(&parent), child.as_ref()].into_iter().flatten() {
        rows.extend((1..=6).step_by(2).map(|key| statement::insert(rng, table, &[key, key + 1], true)));
    }
    let branch = statement::branch(rng, &parent, child.as_ref());
    Case { place, capturing, undoing, tables, rows, branch }
}

fn pragma(name: &str, value: &str) -> Statement {
    Statement::new(Style::Literals, [text(format!("pragma {name} = {value}"))])
}

fn settings(rng: &mut Rng) -> Vec<Statement> {
    let mut settings = Vec::new();
    for (name, values) in SETTINGS {
        if rng.chance(0.4) {
            settings.push(pragma(name, rng.pick::<&str>(values)));
        }
    }
    settings
}
