//! The watch on SQLite: triggers that look for a row which AT has only within its own transaction. There is one writer at a
//! time, so nobody else ever sees that row.

use sqlx::{Executor, Row as _, SqliteConnection};

use super::cell::quoted;
use super::gate;
use crate::DtxError;
use crate::at::call::safe;
use crate::at::watch::Watch;

/// What the names of our triggers begin with; the table gate lets them be.
pub(super) const NAME: &str = "dtx_watch_";

/// Every row fires a trigger here, so it is noted once a second.
const PAUSE: i64 = 1_000_000;

const TRIGGERS: &str =
    "select name, sql from main.sqlite_schema where type = 'trigger' and tbl_name = ?1 collate nocase";

pub(super) async fn mark(conn: &mut SqliteConnection) -> Result<(), DtxError> {
    conn.execute("insert into dtx_mark (id) values (1) on conflict do nothing").await?;
    Ok(())
}

pub(super) async fn unmark(conn: &mut SqliteConnection) -> Result<(), DtxError> {
    conn.execute("delete from dtx_mark").await?;
    Ok(())
}

/// A text in quotes.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Name and definition of the trigger for an operation, as the catalogue keeps it.
fn trigger(table: &str, operation: &str, mode: Watch) -> (String, String) {
    let name = format!("{NAME}{}_{}_{table}", mode.as_str(), operation.to_lowercase());
    let on = format!("{operation} on {} when not exists (select 1 from dtx_mark)", quoted(table));
    // As an SQLite of any age can tell it: the other program brings its own.
    let (written, now) = (text(table), "cast((julianday('now') - 2440587.5) * 86400000000 as integer)");
    let definition = match mode {
        Watch::Report => format!(
            "CREATE TRIGGER {} after {on} and not exists (select 1 from dtx_bypass where table_name = {written} \
             and operation = '{operation}' and seen > {now} - {PAUSE}) begin \
             insert into dtx_bypass (table_name, operation, seen) values ({written}, '{operation}', {now}); end",
            quoted(&name)
        ),
        Watch::Refuse => {
            let refusal = format!(
                "{operation} of {table} past the row locks of global transactions: write it in At::branch or At::local, \
                 or end the watch by At::unwatch"
            );
            format!("CREATE TRIGGER {} before {on} begin select raise(abort, {}); end", quoted(&name), text(&refusal))
        }
    };
    (name, definition)
}

/// Sets the watch of a table, or removes it.
pub(super) async fn watch(conn: &mut SqliteConnection, table: &str, mode: Option<Watch>) -> Result<(), DtxError> {
    let named = "select name from main.sqlite_schema where type = 'table' and name = ?1 collate nocase";
    let Some(row) = gate::rows(conn, named, table).await?.into_iter().next() else {
        return Err(DtxError::refused(format!("the unknown table {table}"), "name a table of the database file"));
    };
    let table: String = row.try_get(0)?;
    let mut wanted = Vec::new();
    if let Some(mode) = mode {
        conn.execute("create table if not exists dtx_mark (id integer primary key)").await?;
        wanted.extend(["INSERT", "UPDATE", "DELETE"].map(|operation| trigger(&table, operation, mode)));
    }
    for found in gate::rows(conn, TRIGGERS, &table).await? {
        let found: (String, String) = (found.try_get(0)?, found.try_get(1)?);
        if !found.0.starts_with(NAME) {
            continue;
        }
        if let Some(at) = wanted.iter().position(|wanted| *wanted == found) {
            wanted.remove(at);
        } else {
            conn.execute(safe(format!("drop trigger {}", quoted(&found.0)))).await?;
        }
    }
    for (_, definition) in wanted {
        conn.execute(safe(definition)).await?;
    }
    Ok(())
}

pub(super) async fn watches(conn: &mut SqliteConnection) -> Result<Vec<(String, Watch)>, DtxError> {
    let all = "select tbl_name, name from main.sqlite_schema where type = 'trigger' order by tbl_name, name";
    let mut watches = Vec::new();
    for row in conn.fetch_all(all).await? {
        let (table, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let mode = [Watch::Report, Watch::Refuse]
            .into_iter()
            .find(|mode| name.strip_prefix(NAME).is_some_and(|rest| rest.starts_with(mode.as_str())));
        watches.extend(mode.map(|mode| (table, mode)));
    }
    watches.dedup();
    Ok(watches)
}
