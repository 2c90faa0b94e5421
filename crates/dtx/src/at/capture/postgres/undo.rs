//! Changes taken back: rows of one statement together, since the server checks foreign keys at the end of a statement.

use std::collections::BTreeSet;

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Executor, PgConnection, Postgres, Row as _};

use super::raw;
use super::text::{quoted, record as whole};
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::catalog::{Policy, Table};
use crate::at::image::{Cell, Change, Row, Step, record};

/// The protocol counts arguments in two bytes.
const MOST_ARGUMENTS: usize = 60_000;
/// What a binary copy begins with: its signature, no flags, no extension.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: &[u8] = &[0xff, 0xff];

/// The rows of these keys, locked.
pub(super) async fn current(conn: &mut PgConnection, table: &Table, keys: &[&[Cell]]) -> Result<Vec<Row>, DtxError> {
    let mut found = Vec::with_capacity(keys.len());
    for keys in keys.chunks(MOST_ARGUMENTS / table.key.len().max(1)) {
        let mut args = PgArguments::default();
        let among = among(&mut args, table, keys)?;
        let text = format!("select {} from {} t where {among} for update", whole("t"), table.name);
        for row in conn.fetch_all(call(table, &text, args)).await? {
            found.push(record::row(row.try_get::<&[u8], _>(0)?)?);
        }
    }
    Ok(found)
}

/// Deletes rows that were inserted.
pub(super) async fn delete(
    conn: &mut PgConnection,
    table: &Table,
    step: &Step,
    changes: &[&Change],
) -> Result<bool, DtxError> {
    let keys: Vec<_> = changes.iter().filter_map(|change| change.after.as_ref()).map(|row| step.key_of(row)).collect();
    for keys in keys.rchunks(MOST_ARGUMENTS / table.key.len().max(1)) {
        let mut args = PgArguments::default();
        let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let among = among(&mut args, table, &keys)?;
        let text = format!("delete from {} t where {among}", table.name);
        if !run(conn, table, &text, args, keys.len()).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Brings back rows that were deleted, with the values of their identity columns, by one binary copy however many they are.
pub(super) async fn copy(conn: &mut PgConnection, table: &Table, changes: &[&Change]) -> Result<bool, DtxError> {
    let own: Vec<_> = (0..table.columns.len()).filter(|&at| !table.server.column(at).generated).collect();
    let rows: Vec<_> = changes.iter().filter_map(|change| change.before.as_ref()).collect();
    if rows.is_empty() {
        return Ok(true);
    }
    let too_many = |_| DtxError::Corrupt("more columns or bytes than a row can have");
    let columns = i16::try_from(own.len()).map_err(too_many)?;
    let mut sent = COPY_HEAD.to_vec();
    for row in &rows {
        sent.extend_from_slice(&columns.to_be_bytes());
        for cell in own.iter().map(|&at| cell(row, at)) {
            let length = if cell.is_null() { -1 } else { i32::try_from(cell.bytes.len()).map_err(too_many)? };
            sent.extend_from_slice(&length.to_be_bytes());
            sent.extend_from_slice(&cell.bytes);
        }
    }
    sent.extend_from_slice(COPY_END);
    let names: Vec<_> = own.iter().map(|&at| column(table, at)).collect();
    let text = format!("copy {} ({}) from stdin (format binary)", table.name, names.join(", "));
    let mut copying = conn.copy_in_raw(&text).await?;
    copying.send(sent).await?;
    let copied = copying.finish().await?;
    Ok(usize::try_from(copied) == Ok(rows.len()))
}

/// Sets old values. Together if that can be, so that references among the rows agree at the end; else row by row from the last
/// to the first, so that every value of a unique key is free when it comes back.
pub(super) async fn update(conn: &mut PgConnection, table: &Table, changes: &[&Change]) -> Result<bool, DtxError> {
    if let [_, _, ..] = changes {
        conn.execute("savepoint onceward_rows").await?;
        match together(conn, table, changes).await {
            Err(DtxError::Backend(taken)) if taken.class() == onceward_backend::ErrorClass::Conflict => {
                conn.execute("rollback to onceward_rows").await?;
            }
            done => return done,
        }
    }
    for change in changes.iter().rev() {
        if !together(conn, table, &[change]).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// All rows by one statement. A column that a row did not change stays as it is there: somebody else may have set it since.
async fn together(conn: &mut PgConnection, table: &Table, changes: &[&Change]) -> Result<bool, DtxError> {
    let mut rows = Vec::<(&Row, BTreeSet<usize>)>::with_capacity(changes.len());
    for change in changes {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { continue };
        let changed = |at: &usize| !table.server.column(*at).generated && cell(before, *at) != cell(after, *at);
        let set: BTreeSet<_> = (0..table.columns.len()).filter(changed).collect();
        if !set.is_empty() {
            rows.push((before, set));
        }
    }
    let set: BTreeSet<_> = rows.iter().flat_map(|(_, set)| set).copied().collect();
    let mixed = rows.iter().any(|(_, own)| *own != set);
    let columns: Vec<_> = table.key.iter().chain(&set).map(|&at| (at, column(table, at))).collect();
    let (keys, values) = columns.split_at(table.key.len());
    let joined: Vec<_> = keys.iter().map(|(at, name)| format!("t.{name} = v.c{at}")).collect();
    let sets = values.iter().map(|(at, name)| {
        let value = match table.policies.get(at) {
            Some(Policy::Monotonic) => format!("t.{name} + 1"),
            _ => format!("v.c{at}"),
        };
        if mixed {
            format!("{name} = case when v.f{at} then {value} else t.{name} end")
        } else {
            format!("{name} = {value}")
        }
    });
    let mut names: Vec<_> = columns.iter().map(|(at, _)| format!("c{at}")).collect();
    if mixed {
        names.extend(set.iter().map(|at| format!("f{at}")));
    }
    let (names, joined, sets) = (names.join(", "), joined.join(" and "), sets.collect::<Vec<_>>().join(", "));
    for rows in rows.chunks(MOST_ARGUMENTS / columns.len().max(1)) {
        let mut args = PgArguments::default();
        let mut values = Vec::with_capacity(rows.len());
        for (row, own) in rows {
            let mut parts = holders(&mut args, table, columns.iter().map(|&(at, _)| (at, cell(row, at))))?;
            if mixed {
                parts.extend(set.iter().map(|at| own.contains(at).to_string()));
            }
            values.push(format!("({})", parts.join(", ")));
        }
        let (name, values) = (&table.name, values.join(", "));
        let text = format!("update {name} t set {sets} from (values {values}) v ({names}) where {joined}");
        if !run(conn, table, &text, args, rows.len()).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn run(
    conn: &mut PgConnection,
    table: &Table,
    text: &str,
    args: PgArguments,
    rows: usize,
) -> Result<bool, DtxError> {
    let done = conn.execute(call(table, text, args)).await?;
    Ok(usize::try_from(done.rows_affected()) == Ok(rows))
}

/// A statement prepared under a name: while the driver looks up a type, it forgets one without. It keeps the prepared ones by
/// their texts, so the text tells the types.
fn call(table: &Table, text: &str, args: PgArguments) -> Call<Postgres> {
    let types: Vec<_> = table.server.columns.iter().map(|column| column.kind.to_string()).collect();
    Call::own(safe(format!("{text} /* {} */", types.join(" "))), args)
}

/// `(t."a", t."b") in (($1, $2), ..)`
fn among(args: &mut PgArguments, table: &Table, keys: &[&[Cell]]) -> Result<String, DtxError> {
    let columns: Vec<_> = table.key.iter().map(|&at| format!("t.{}", column(table, at))).collect();
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        values.push(format!("({})", holders(args, table, table.key.iter().copied().zip(*key))?.join(", ")));
    }
    if values.is_empty() {
        return Ok("false".to_owned());
    }
    Ok(format!("({}) in ({})", columns.join(", "), values.join(", ")))
}

/// `$1`, `$2`, ..
fn holders<'a>(
    args: &mut PgArguments,
    table: &Table,
    cells: impl Iterator<Item = (usize, &'a Cell)>,
) -> Result<Vec<String>, DtxError> {
    let mut holders = Vec::new();
    for (at, cell) in cells {
        raw(args, table.server.column(at).kind, cell)?;
        holders.push(format!("${}", args.len()));
    }
    Ok(holders)
}

fn column(table: &Table, at: usize) -> String {
    table.columns.get(at).map(|name| quoted(name)).unwrap_or_default()
}

fn cell(row: &Row, at: usize) -> &Cell {
    const NULL: &Cell = &Cell::NULL;
    row.get(at).unwrap_or(NULL)
}
