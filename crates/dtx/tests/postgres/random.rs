//! Random cases for PostgreSQL: values of all types, tables, statements, and sessions that differ in their settings.

use std::fmt;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{Arguments, AssertSqlSafe, PgConnection, PgPool, Row, TypeInfo, ValueRef};
use testkit::Rng;

use crate::differential::Sessions;
use crate::disk::Disk;
use crate::script::{Case, Statement, Style, text};
use crate::types;

mod joined;
mod statement;
mod table;

/// What sessions may differ in, and must not matter. The planner's settings change the order in which rows come.
const SETTINGS: [(&str, &[&str]); 12] = [
    ("datestyle", &["'ISO, MDY'", "'SQL, DMY'", "'German'", "'Postgres, MDY'"]),
    ("timezone", &["'UTC'", "'Asia/Kathmandu'", "'America/St_Johns'", "'Pacific/Apia'"]),
    ("intervalstyle", &["'postgres'", "'iso_8601'", "'sql_standard'", "'postgres_verbose'"]),
    ("extra_float_digits", &["-15", "0", "3"]),
    ("bytea_output", &["'hex'", "'escape'"]),
    ("xmloption", &["'content'", "'document'"]),
    ("default_transaction_isolation", &["'read committed'", "'repeatable read'", "'serializable'"]),
    ("array_nulls", &["on", "off"]),
    ("enable_seqscan", &["on", "off"]),
    ("enable_hashjoin", &["on", "off"]),
    ("plan_cache_mode", &["'auto'", "'force_generic_plan'", "'force_custom_plan'"]),
    ("quote_all_identifiers", &["on", "off"]),
];
/// Where tables are found: in the usual schema, or in front of others of the same names.
const PATHS: [&str; 2] = ["public", "tenant, decoy, public"];
/// Where they are without AT: in the same database, since the numbers of types differ from one to the next.
const PLAIN: &str = "set search_path = plain, decoy, public;";

/// The tables of all cases, as options name them.
pub(crate) const TABLES: [&str; 4] = ["t", "U u", "tenant.t", "tenant.U u"];

/// A value by the text that its type takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) kind: &'static str,
    pub(crate) text: Option<String>,
}

impl Value {
    pub(crate) fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: Some(text.into()) }
    }

    pub(crate) fn holder(&self, at: usize) -> String {
        format!("cast(${at} as {})", self.kind)
    }

    pub(crate) fn numbered(&self, at: usize) -> String {
        self.holder(at)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "cast('{}' as {})", text.replace('\'', "''"), self.kind),
            None => write!(f, "cast(null as {})", self.kind),
        }
    }
}

pub(crate) fn arguments(values: &[Value]) -> PgArguments {
    let mut args = PgArguments::default();
    values.iter().for_each(|value| args.add(&value.text).unwrap());
    args
}

/// The type and bytes of every value.
pub(crate) fn cells(row: &PgRow) -> Vec<String> {
    let cell = |at| {
        let value = row.try_get_raw(at).unwrap();
        let bytes = (!value.is_null()).then(|| value.as_bytes().unwrap().to_vec());
        format!("{} {bytes:?}", value.type_info().name())
    };
    (0..row.len()).map(cell).collect()
}

/// A pool for the statements without AT, and one for a resource.
pub(crate) async fn pools(disk: &Disk, lane: usize, place: &str, sessions: &Sessions) -> (PgPool, PgPool) {
    let url = disk.url(&lane.to_string()).await;
    (pool(&url, PLAIN, sessions).await, pool(&url, place, sessions).await)
}

async fn pool(url: &str, place: &str, sessions: &Sessions) -> PgPool {
    let set = {
        let (sessions, place) = (sessions.clone(), place.to_owned());
        move || format!("reset all; {place} {}", sessions.settings())
    };
    let again = set.clone();
    let options: PgConnectOptions = url.parse().unwrap();
    PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .after_connect(move |conn, _| Box::pin(take(conn, set())))
        .before_acquire(move |conn, _| {
            let taken = take(conn, again());
            Box::pin(async move { taken.await.map(|()| true) })
        })
        .connect_with(options.options([
            ("synchronous_commit", "off"),
            ("client_min_messages", "warning"),
            ("jit", "off"),
        ]))
        .await
        .unwrap()
}

async fn take(conn: &mut PgConnection, settings: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(conn).await.map(drop)
}

/// Makes what the tables of all cases need.
pub(crate) async fn prepare(disk: &Disk, lane: usize) {
    let pool = disk.pool(&lane.to_string()).await;
    let schemas = "create schema tenant; create schema plain; create schema decoy; create type shade as enum \
                   ('red', 'green', 'blue', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p'); \
                   create table decoy.t (id bigint primary key, n integer); insert into decoy.t values (1, 21); \
                   create table decoy.\"U u\" (id bigint primary key, n integer); insert into decoy.\"U u\" values (1, 21)";
    let trigger = "create function derive() returns trigger language plpgsql as \
                   'begin new.\"d\" = new.\"n\" * 2; return new; end'";
    for text in [types::SETUP, schemas, trigger] {
        sqlx::raw_sql(text).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

/// Forgets what a failed case has left.
pub(crate) async fn clear(pool: &PgPool) {
    let text = "do $$ declare name text; begin \
                for name in select format('%I.%I', schemaname, tablename) from pg_tables \
                    where tablename in ('undo_log', 'dtx_parked') loop execute 'delete from ' || name; end loop; end $$";
    sqlx::raw_sql(text).execute(pool).await.unwrap();
}

/// Drops the tables of the last case.
pub(crate) async fn wipe(pool: &PgPool) {
    let text = "do $$ declare name text; begin \
                for name in select format('%I.%I', schemaname, tablename) from pg_tables \
                    where tablename in ('t', 'U u') and schemaname in ('public', 'tenant') = (current_schema() <> 'plain') \
                        and schemaname <> 'decoy' \
                loop execute format('drop table %s cascade', name); end loop; end $$";
    sqlx::raw_sql(text).execute(pool).await.unwrap();
}

/// A hash over every row of every table, and the rows for a person.
pub(crate) async fn state(pool: &PgPool) -> Vec<String> {
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables \
                  where tablename in ('t', 'U u') and schemaname in (current_schema(), 'decoy') order by schemaname = 'decoy', tablename";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(pool).await.unwrap();
    let mut state = Vec::new();
    for table in tables {
        let text = format!(
            "select count(*) || ' ' || md5(coalesce(string_agg(bytes, ',' order by bytes), '')) || \
             coalesce(string_agg(E'\n' || line, '' order by bytes), '') from \
             (select encode(record_send(row(r.*)), 'hex') as bytes, r::text as line from {table} r) r"
        );
        let text: String = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(pool).await.unwrap();
        let (_, name) = table.split_once('.').unwrap();
        let name = name.trim_matches('"');
        state.push(format!("{name}: {text}"));
    }
    state
}

pub(crate) fn case(rng: &mut Rng) -> Case {
    let path = *rng.pick(&PATHS);
    let place = vec![set("search_path", path)];
    let (capturing, undoing) = (settings(rng), settings(rng));
    let parent = table::table(rng, None);
    let child = rng.chance(0.5).then(|| table::table(rng, Some(&parent)));
    let mut tables = parent.create.clone();
    tables.extend(child.iter().flat_map(|child| child.create.clone()));
    let mut rows = Vec::new();
    for table in [Some(&parent), child.as_ref()].into_iter().flatten() {
        rows.extend((1..=6).step_by(2).map(|key| statement::insert(rng, table, &[key, key + 1], true)));
    }
    let branch = statement::branch(rng, &parent, child.as_ref());
    Case { place, capturing, undoing, tables, rows, branch }
}

fn set(name: &str, value: &str) -> Statement {
    Statement::new(Style::Literals, [text(format!("set {name} = {value}"))])
}

fn settings(rng: &mut Rng) -> Vec<Statement> {
    let mut settings = Vec::new();
    for (name, values) in SETTINGS {
        if rng.chance(0.4) {
            settings.push(set(name, rng.pick::<&str>(values)));
        }
    }
    settings
}
