//! Every type comes back as it was, to the byte, whatever the settings of the session.

use onceward_dtx::{At, AtOptions, DtxError, Options};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};

use crate::random::Value;
use crate::world::World;

/// Types, with texts of values of each.
pub(crate) const TYPES: [(&str, &[&str]); 42] = [
    ("smallint", &["-32768", "32767"]),
    ("integer", &["0", "-1"]),
    ("bigint", &["9223372036854775807", "-9223372036854775808"]),
    ("real", &["NaN", "-0"]),
    ("double precision", &["-Infinity", "0.1"]),
    ("numeric", &["NaN", "1.000", "-Infinity"]),
    ("numeric(12, 4)", &["-0.5000", "12345678.9000"]),
    ("money", &["$12.34", "-$1.00"]),
    ("boolean", &["true", "false"]),
    ("text", &["", "it's \u{fc}\u{1f980}", "A "]),
    ("varchar(9)", &["a ", " a"]),
    ("char(5)", &["ab", ""]),
    ("\"char\"", &["x", "y"]),
    ("name", &["n", ""]),
    ("bytea", &["\\x00ff", ""]),
    ("date", &["infinity", "0044-03-15 BC"]),
    ("date", &["2026-02-01", "2026-01-02"]),
    ("time", &["24:00", "00:00:00.000001"]),
    ("timetz", &["12:00+05:30", "12:00-08"]),
    ("timestamp", &["-infinity", "2026-02-01 03:04:05.678901"]),
    ("timestamptz", &["2026-02-01 03:04:05.678901+09", "0001-01-01 00:00+00 BC"]),
    ("interval", &["1 month -2 days 03:04:05.000001", "-1 year"]),
    ("uuid", &["00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    ("json", &["{\"a\":1, \"a\" : 2}", "null"]),
    ("jsonb", &["{\"b\":1.0}", "[]"]),
    ("xml", &["<a>1</a>", "<b/>", "a<b/>"]),
    ("inet", &["10.0.0.1/8", "::1"]),
    ("cidr", &["10.0.0.0/8", "::/0"]),
    ("macaddr", &["08:00:2b:01:02:03", "00:00:00:00:00:00"]),
    ("bit(3)", &["101", "000"]),
    ("bit varying", &["", "1"]),
    ("point", &["(1.5,-2)", "(0,0)"]),
    ("polygon", &["((0,0),(1,1),(2,0))", "((0,0),(1,1),(2,5))"]),
    ("tsvector", &["a:1 b:2", ""]),
    ("integer[]", &["[3:4]={1,NULL}", "{}"]),
    ("text[]", &["{{a,b},{c,NULL}}", "{\"{\",\",\"}"]),
    ("int4range", &["[1,5)", "empty"]),
    ("tstzrange", &["[2026-01-01,)", "(,)"]),
    ("mood", &["sad", "happy"]),
    ("mood[]", &["{sad,happy}", "{}"]),
    ("positive", &["1", "99"]),
    ("pair", &["(1,\"x, y\")", "(,)"]),
];

pub(crate) const SETUP: &str = "create type mood as enum ('sad', 'happy'); create domain positive as integer check (value > 0); \
    create type pair as (a integer, b text)";

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_its_type_no_longer_takes_is_parked() {
    let world = World::new().await;
    let pool = world.at[0].pool();
    pool.execute(SETUP).await.unwrap();
    pool.execute("create table t (id integer primary key, mood mood); insert into t values (1, 'sad')").await.unwrap();
    let answer = world
        .dtx
        .run(Options::new("renamed"), async |_| {
            let cheer = async |mut tx: onceward_dtx::AtTransaction<sqlx::Postgres>| {
                tx.execute("update t set mood = 'happy'").await?;
                Ok::<_, DtxError>(())
            };
            world.at[0].branch(cheer).await?;
            pool.execute("alter type mood rename value 'sad' to 'blue'").await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let reason = world.dtx.parked().await.unwrap().remove(0).reason;
    assert!(reason.contains("22P02") && !reason.contains("sad"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_that_is_no_document_comes_back_where_sessions_expect_documents() {
    let world = World::new().await;
    let options: PgConnectOptions = world.disk.url("xml").await.parse().unwrap();
    let pool = PgPoolOptions::new().connect_with(options.options([("xmloption", "document")])).await.unwrap();
    let at = At::new("xml", pool, &world.dtx, AtOptions::default()).await.unwrap();
    let setup = "create table t (id integer primary key, x xml); set xmloption = content; insert into t values (1, 'a<b/>'); \
                 reset xmloption";
    at.pool().execute(setup).await.unwrap();
    for statement in ["update t set x = null", "delete from t"] {
        let work = async |mut tx: onceward_dtx::AtTransaction<sqlx::Postgres>| {
            tx.execute(statement).await?;
            Ok::<_, DtxError>(())
        };
        let run = async |_| {
            at.branch(work).await?;
            Err::<(), _>(DtxError::NoTransaction)
        };
        let answer = world.dtx.run(Options::new("xml"), run).await;
        assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
    }
    let left: String = sqlx::query_scalar("select x::text from t").fetch_one(at.pool()).await.unwrap();
    assert_eq!(left, "a<b/>");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_are_undone_exactly() {
    let world = World::new().await;
    let url = world.disk.url("types").await;
    let hostile = [
        ("datestyle", "SQL, DMY"),
        ("timezone", "Asia/Kathmandu"),
        ("extra_float_digits", "-15"),
        ("intervalstyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("xmloption", "document"),
    ];
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPoolOptions::new().connect_with(options.options(hostile)).await.unwrap();
    pool.execute(SETUP).await.unwrap();
    let columns: Vec<_> = TYPES.iter().enumerate().map(|(n, (name, ..))| format!("\"C {n}\" {name}")).collect();
    let table = format!(
        "create table t (id integer generated always as identity, part text, gone integer, {}, \
         twice bigint generated always as (length(part) * 2) stored, primary key (part, id))",
        columns.join(", ")
    );
    pool.execute(AssertSqlSafe(table)).await.unwrap();
    // What is dropped leaves a gap in the numbers of the columns.
    pool.execute("alter table t drop column gone").await.unwrap();
    let values = |second: bool| {
        let one = |&(kind, texts): &(_, &[&str])| Value::new(kind, texts[usize::from(second)]).to_string();
        TYPES.iter().map(one).collect::<Vec<_>>()
    };
    let names: Vec<_> = (0..TYPES.len()).map(|n| format!("\"C {n}\"")).collect();
    for (part, values) in [("a", values(false)), ("b", values(true)), ("c", vec!["null".to_owned(); TYPES.len()])] {
        let insert = format!("insert into t (part, {}) values ('{part}', {})", names.join(", "), values.join(", "));
        pool.execute(AssertSqlSafe(insert)).await.unwrap();
    }
    let plain = PgPoolOptions::new().connect(&url).await.unwrap();
    let rows = async || -> Vec<String> {
        let text = "select md5(record_send(row(t.*))) || ' ' || t::text from t order by part, id";
        sqlx::query_scalar(text).fetch_all(&plain).await.unwrap()
    };
    let before = rows().await;
    let at = At::new("types", pool, &world.dtx, AtOptions::default()).await.unwrap();
    let set = |second| -> String {
        let pairs = names.iter().zip(values(second)).map(|(name, value)| format!("{name} = {value}"));
        pairs.collect::<Vec<_>>().join(", ")
    };
    let statements = [
        vec![format!("update t set {}", set(true))],
        vec!["delete from t".to_owned()],
        vec![
            format!("update t set {} where part = 'c'", set(false)),
            "delete from t where part <> 'b'".to_owned(),
            format!("insert into t (part, {}) select 'd', {} from t", names.join(", "), names.join(", ")),
            format!("update t set {}", set(false)),
        ],
    ];
    for statements in statements {
        let answer = world
            .dtx
            .run(Options::new("types"), async |_| {
                let work = async |mut tx: onceward_dtx::AtTransaction<sqlx::Postgres>| {
                    for statement in &statements {
                        tx.execute(AssertSqlSafe(statement.clone())).await?;
                    }
                    Ok::<_, DtxError>(())
                };
                at.branch(work).await?;
                assert_ne!(rows().await, before);
                Err::<(), _>(DtxError::NoTransaction)
            })
            .await;
        assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
        assert_eq!(rows().await, before);
    }
    world.quiet().await;
}
