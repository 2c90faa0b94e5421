//! Changes taken back: rows of one statement together, since the server checks foreign keys at the end of a statement.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Executor, PgConnection};

use super::raw;
use super::text::quoted;
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::catalog::Table;
use crate::at::image::{Cell, Change, Row, Step};

/// The protocol counts arguments in two bytes.
const MOST_ARGUMENTS: usize = 60_000;

/// The condition that finds the row of a key.
pub(super) fn condition(args: &mut PgArguments, table: &Table, key: &[Cell]) -> Result<String, DtxError> {
    let mut parts = Vec::new();
    for (&at, cell) in table.key.iter().zip(key) {
        bind(args, table, at, cell)?;
        parts.push(format!("t.{} = ${}", column(table, at), args.len()));
    }
    Ok(parts.join(" and "))
}

/// Deletes rows that were inserted.
pub(super) async fn delete(
    conn: &mut PgConnection,
    table: &Table,
    step: &Step,
    changes: &[&Change],
) -> Result<bool, DtxError> {
    let columns: Vec<_> = table.key.iter().map(|&at| column(table, at)).collect();
    let rows: Vec<_> = changes.iter().filter_map(|change| change.after.as_ref()).collect();
    for rows in rows.rchunks(MOST_ARGUMENTS / table.key.len().max(1)) {
        let mut args = PgArguments::default();
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let key = step.key_of(row);
            let cells = table.key.iter().copied().zip(&key);
            keys.push(holders(&mut args, table, cells)?);
        }
        let text = format!("delete from {} where ({}) in ({})", table.name, columns.join(", "), keys.join(", "));
        if !run(conn, text, args, rows.len()).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Inserts rows that were deleted, with the values of their identity columns.
pub(super) async fn insert(conn: &mut PgConnection, table: &Table, changes: &[&Change]) -> Result<bool, DtxError> {
    let own: Vec<_> = (0..table.columns.len()).filter(|&at| !is_generated(table, at)).collect();
    let columns: Vec<_> = own.iter().map(|&at| column(table, at)).collect();
    let rows: Vec<_> = changes.iter().filter_map(|change| change.before.as_ref()).collect();
    for rows in rows.rchunks(MOST_ARGUMENTS / own.len().max(1)) {
        let mut args = PgArguments::default();
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            values.push(holders(&mut args, table, own.iter().map(|&at| (at, cell(row, at))))?);
        }
        let (name, columns, values) = (&table.name, columns.join(", "), values.join(", "));
        let text = format!("insert into {name} ({columns}) overriding system value values {values}");
        if !run(conn, text, args, rows.len()).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sets old values, row by row from the last to the first, so that every value of a unique key is free when it comes back.
pub(super) async fn update(
    conn: &mut PgConnection,
    table: &Table,
    step: &Step,
    changes: &[&Change],
) -> Result<bool, DtxError> {
    for change in changes.iter().rev() {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { continue };
        let mut args = PgArguments::default();
        let mut sets = Vec::new();
        for at in (0..table.columns.len()).filter(|&at| !is_generated(table, at)) {
            let (old, new) = (cell(before, at), cell(after, at));
            if old != new {
                bind(&mut args, table, at, old)?;
                sets.push(format!("{} = ${}", column(table, at), args.len()));
            }
        }
        if sets.is_empty() {
            continue;
        }
        let by_key = condition(&mut args, table, &step.key_of(after))?;
        let text = format!("update {} t set {} where {by_key}", table.name, sets.join(", "));
        if !run(conn, text, args, 1).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn run(conn: &mut PgConnection, text: String, args: PgArguments, rows: usize) -> Result<bool, DtxError> {
    // Prepared under a name: while the driver looks up a type, it forgets a statement without one.
    let done = conn.execute(Call::own(safe(text), args)).await?;
    Ok(usize::try_from(done.rows_affected()) == Ok(rows))
}

/// `($1, $2)`
fn holders<'a>(
    args: &mut PgArguments,
    table: &Table,
    cells: impl Iterator<Item = (usize, &'a Cell)>,
) -> Result<String, DtxError> {
    let mut holders = Vec::new();
    for (at, cell) in cells {
        bind(args, table, at, cell)?;
        holders.push(format!("${}", args.len()));
    }
    Ok(format!("({})", holders.join(", ")))
}

fn bind(args: &mut PgArguments, table: &Table, at: usize, cell: &Cell) -> Result<(), DtxError> {
    raw(args, table.server.types.get(at).copied().unwrap_or_default(), cell)
}

fn column(table: &Table, at: usize) -> String {
    table.columns.get(at).map(|name| quoted(name)).unwrap_or_default()
}

fn cell(row: &Row, at: usize) -> &Cell {
    const NULL: &Cell = &Cell::NULL;
    row.get(at).unwrap_or(NULL)
}

fn is_generated(table: &Table, at: usize) -> bool {
    table.server.generated.get(at).copied().unwrap_or_default()
}
