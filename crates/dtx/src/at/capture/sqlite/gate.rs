//! What SQLite's catalogue must say before changes of a table are captured.

use sqlparser::dialect::SQLiteDialect;
use sqlparser::tokenizer::{Token, Tokenizer};
use sqlx::{Executor, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::cell::quoted;
use super::{computed, watch};
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::catalog::{Collation, Computed, Incoming, Table, Unique};
use crate::at::options::TableOptions;

/// Tables of this workspace's own bookkeeping.
const OWN: [&str; 4] = ["undo_log", "dtx_", "onceward_", "sqlite_"];

pub(super) async fn table(
    conn: &mut SqliteConnection,
    asked: &str,
    options: &[TableOptions],
) -> Result<Table, DtxError> {
    let lower = asked.to_lowercase();
    if OWN.iter().any(|own| lower == *own || (own.ends_with('_') && lower.starts_with(own))) {
        return Err(DtxError::refused(format!("the bookkeeping table {asked}"), "leave it alone"));
    }
    let shadow = rows(conn, "select name from temp.sqlite_schema where name = ?1 collate nocase", asked).await?;
    if !shadow.is_empty() {
        return Err(DtxError::refused(format!("the temporary table {asked}"), "use a table of the database file"));
    }
    let found =
        rows(conn, "select type, name, sql from main.sqlite_schema where name = ?1 collate nocase", asked).await?;
    let Some(row) = found.first() else {
        return Err(DtxError::refused(format!("the unknown table {asked}"), "create it before the branch begins"));
    };
    let (kind, name, sql): (String, String, Option<String>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let sql = sql.unwrap_or_default();
    if kind != "table" || words(&sql).starts_with(&["CREATE".to_owned(), "VIRTUAL".to_owned()]) {
        return Err(DtxError::refused(format!("{name}, which is no ordinary table"), "change the tables behind it"));
    }
    if words(&sql).windows(2).any(|pair| pair == ["ON", "CONFLICT"]) {
        let instead = "declare the constraint without it: it may delete rows without a trace";
        return Err(DtxError::refused(format!("{name}, whose definition has ON CONFLICT"), instead));
    }
    let text = "select name from main.sqlite_schema where type = 'trigger' and tbl_name = ?1 collate nocase \
                union all select name from temp.sqlite_schema where type = 'trigger' and tbl_name = ?1 collate nocase";
    let triggers = rows(conn, text, &name).await?;
    let (mut triggered, mut watched) = (false, false);
    for trigger in triggers {
        let trigger: String = trigger.try_get(0)?;
        if trigger.starts_with(watch::NAME) {
            watched = true;
            continue;
        }
        triggered = true;
        if !TableOptions::of(options, &name).any(|table| table.trusted.contains(&trigger)) {
            let part = format!("{name}, whose trigger {trigger} may change other rows");
            let instead = "do in the branch what the trigger does, or see TableOptions::with_trusted_trigger";
            return Err(DtxError::refused(part, instead));
        }
    }
    let mut table = Table { triggered, watched, ..columns(conn, name).await? };
    uniques(conn, &mut table).await?;
    table.incoming = incoming(conn, &table).await?;
    table.apply(options)?;
    Ok(table)
}

async fn columns(conn: &mut SqliteConnection, name: String) -> Result<Table, DtxError> {
    let mut table = Table { locked_as: name.clone(), name, ..Table::default() };
    let mut key = Vec::new();
    // hidden: 2 and 3 are generated columns, which follow the others by themselves.
    let found =
        rows(conn, "select name, pk from pragma_table_xinfo(?1, 'main') where hidden = 0 order by cid", &table.name)
            .await?;
    for row in found {
        let (column, place): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        if place > 0 {
            key.push((place, table.columns.len()));
        }
        table.columns.push(column);
    }
    key.sort_unstable();
    table.key = key.into_iter().map(|(_, at)| at).collect();
    if table.key.is_empty() {
        return Err(DtxError::refused(format!("{}, which has no primary key", table.name), "give it one"));
    }
    Ok(table)
}

async fn uniques(conn: &mut SqliteConnection, table: &mut Table) -> Result<(), DtxError> {
    let text = "select l.name, l.origin, l.partial, s.sql from pragma_index_list(?1, 'main') l \
                left join main.sqlite_schema s on s.type = 'index' and s.name = l.name where l.\"unique\" = 1";
    for index in rows(conn, text, &table.name).await? {
        let (name, origin, partial): (String, String, i64) = (index.try_get(0)?, index.try_get(1)?, index.try_get(2)?);
        let text = "select name, coll, cid from pragma_index_xinfo(?1, 'main') where key = 1 order by seqno";
        let (mut plain, mut parts) = (Vec::new(), Vec::new());
        for row in rows(conn, text, &name).await? {
            let (column, collation): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
            let collation = match collation.unwrap_or_default().to_uppercase().as_str() {
                "BINARY" => Collation::Binary,
                "NOCASE" => Collation::NoCase,
                "RTRIM" => Collation::RightTrim,
                _ => {
                    let part = format!("{}, whose unique index {name} has a collation of its own", table.name);
                    return Err(DtxError::refused(part, "use BINARY, NOCASE or RTRIM"));
                }
            };
            let exact = column.as_ref().and_then(|column| table.columns.iter().position(|own| own == column));
            plain.extend(exact.map(|at| (at, collation)));
            parts.push((column.map(|column| quoted(&column)), collation));
        }
        if origin == "pk" {
            if plain.iter().any(|(_, collation)| *collation != Collation::Binary) {
                let part = format!("{}, whose primary key compares texts by a collation", table.name);
                return Err(DtxError::refused(part, "declare the key COLLATE BINARY"));
            }
        } else if plain.len() == parts.len() && partial == 0 {
            table.uniques.push(Unique { name, columns: plain });
        } else {
            let sql: Option<String> = index.try_get(3)?;
            let key = computed_key(name, parts, partial != 0, sql).map_err(|name| {
                let part = format!("{}, whose unique index {name} is not understood", table.name);
                DtxError::refused(part, "make it unique on plainer expressions")
            })?;
            table.computed.push(key);
        }
    }
    Ok(())
}

/// A key of generated columns, which have names, and of expressions, which only the definition of the index has.
fn computed_key(
    name: String,
    parts: Vec<(Option<String>, Collation)>,
    partial: bool,
    sql: Option<String>,
) -> Result<Computed, String> {
    let mut defined = sql.and_then(|sql| computed::defined(&sql));
    if partial && defined.is_none() {
        return Err(name);
    }
    let when = defined.as_mut().and_then(|(_, when)| when.take());
    let from = |at: usize| defined.as_ref().and_then(|(parts, _)| parts.get(at).cloned());
    let named = parts.into_iter().enumerate().map(|(at, (column, how))| Some((column.or_else(|| from(at))?, how)));
    match named.collect() {
        Some(parts) => Ok(Computed { name, parts, when, nulls_equal: false, columns: Vec::new() }),
        None => Err(name),
    }
}

async fn incoming(conn: &mut SqliteConnection, table: &Table) -> Result<Vec<Incoming>, DtxError> {
    let text = "select m.name, f.id, f.\"to\", f.on_delete, f.on_update from main.sqlite_schema m \
                join pragma_foreign_key_list(m.name, 'main') f \
                where m.type = 'table' and f.\"table\" = ?1 collate nocase order by m.name, f.id, f.seq";
    let mut found: Vec<(i64, Incoming)> = Vec::new();
    for row in rows(conn, text, &table.name).await? {
        let (child, id): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let column: Option<String> = row.try_get(2)?;
        let changes = |action: String| !matches!(action.to_uppercase().as_str(), "NO ACTION" | "RESTRICT");
        match found.last_mut() {
            Some((last, incoming)) if *last == id && incoming.child == child => incoming.columns.extend(column),
            _ => {
                let (on_delete, on_update) = (changes(row.try_get(3)?), changes(row.try_get(4)?));
                let columns = column.into_iter().collect();
                found.push((id, Incoming { child, columns, on_delete, on_update }));
            }
        }
    }
    Ok(found.into_iter().map(|(_, incoming)| incoming).collect())
}

pub(super) async fn rows(conn: &mut SqliteConnection, text: &str, name: &str) -> Result<Vec<SqliteRow>, DtxError> {
    let mut args = sqlx::sqlite::SqliteArguments::default();
    sqlx::Arguments::add(&mut args, name).map_err(sqlx::Error::Encode)?;
    let call: Call<Sqlite> = Call::own(safe(text.to_owned()), args);
    Ok(conn.fetch_all(call).await?)
}

/// The words of a definition in capitals, without names in quotes.
fn words(sql: &str) -> Vec<String> {
    let tokens = Tokenizer::new(&SQLiteDialect {}, sql).tokenize().unwrap_or_default();
    let word = |token| match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    };
    tokens.into_iter().filter_map(word).collect()
}
