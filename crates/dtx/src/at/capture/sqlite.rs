//! SQLite: images around the statement, inside of `BEGIN IMMEDIATE`, which keeps every other writer away.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use onceward_backend::BackendError;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Either, Executor, Row as _, SqlStr, Sqlite, SqliteConnection, SqlitePool};

use super::{AtDb, Captured, Covered, NewUndo, Room};
use crate::at::call::{Call, safe};
use crate::at::catalog::{Collation, Policy, Table};
use crate::at::image::{Cell, Change, Kind, Row, Step, size};
use crate::at::key::Part;
use crate::at::options::TableOptions;
use crate::at::plan::{Calls, Lock, Write};
use crate::at::watch::Watch;
use crate::{DtxError, place};

mod cell;
mod computed;
mod gate;
mod show;
mod watch;

use cell::{bind, holder, pairs, quoted, read};

/// The texts of a captured write.
#[derive(Debug)]
pub struct Prepared {
    /// Reads the rows before they change; none for INSERT.
    before: Option<SqlStr>,
    /// The user's statement, which also answers the keys it changed.
    main: SqlStr,
    /// What a row is asked for after it has changed, up to the condition.
    after: String,
}

#[async_trait]
#[expect(private_interfaces, reason = "sealed: nobody outside calls these")]
impl AtDb for Sqlite {
    type Prepared = Prepared;

    const ENDS_BY_ITSELF: bool = true;
    // The transaction is the only writer of the file.
    const SCHEMA_MOVES: bool = false;
    const MARKED: Option<&'static str> = None;

    async fn home(conn: &mut SqliteConnection) -> Result<Option<String>, BackendError> {
        place::file::<Self>(conn).await
    }

    async fn schema(conn: &mut SqliteConnection) -> Result<i64, DtxError> {
        // Plans are shared by all connections, so what only one of them sees cannot be planned for.
        let temporary = conn.fetch_optional("select name from temp.sqlite_schema").await?;
        if let Some(row) = temporary {
            let name: String = row.try_get(0)?;
            let part = format!("{name}, a temporary table, view or trigger of this connection");
            return Err(DtxError::refused(part, "drop it, or make it part of the database file"));
        }
        let row = conn.fetch_one("pragma schema_version").await?;
        Ok(row.try_get(0)?)
    }

    async fn check_calls(_: &mut SqliteConnection, _: &Calls) -> Result<(), DtxError> {
        // Functions cannot reach the database here.
        Ok(())
    }

    async fn table(conn: &mut SqliteConnection, name: &str, options: &[TableOptions]) -> Result<Table, DtxError> {
        gate::table(conn, name, options).await
    }

    fn prepare(table: &Table, write: &Write) -> Prepared {
        let name = quoted(&table.name);
        let asked = format!("{}{}", pairs(table.columns.iter()), computed::asked(table));
        let before = (write.kind != Kind::Insert).then(|| {
            let Write { with, alias, from, filter, .. } = write;
            let chosen = match (from.as_str(), filter.as_str()) {
                ("", "") => String::new(),
                ("", filter) => format!(" where {filter}"),
                // A row that several others match is one row.
                (from, "") => format!(" where exists (select 1 from {from})"),
                (from, filter) => format!(" where exists (select 1 from {from} where {filter})"),
            };
            safe(format!("{with}select {asked} from main.{name}{alias}{chosen}"))
        });
        let keys = pairs(table.key.iter().map(|&at| &table.columns[at]));
        let users = write.returning.as_ref().map(|list| format!("{list}, ")).unwrap_or_default();
        let main = safe(format!("{}\nreturning {users}{keys}", write.body));
        Prepared { before, main, after: format!("select {asked} from main.{name}") }
    }

    async fn capture(
        conn: &mut SqliteConnection,
        Covered { table, write, prepared }: &Covered<Self>,
        call: Call<Self>,
        mut room: Room,
        _: Option<NewUndo<'_>>,
    ) -> Result<Captured<Self>, sqlx::Error> {
        let mut step = table.step(write);
        let (mut before, width) = (HashMap::new(), table.columns.len());
        if let Some(text) = &prepared.before {
            let mut rows = conn.fetch(call.with_text(text));
            while let Some(row) = rows.try_next().await? {
                room.for_one_more(before.len())?;
                let keys = computed::answered(table, &row, 2 * width)?;
                let row = image(&row, 0, width)?;
                room.take(size(&row))?;
                before.insert(step.key_of(&row), (row, keys));
            }
        }
        let mut answer = Vec::new();
        let (mut changed, mut keys) = (Vec::new(), BTreeSet::new());
        let mut results = conn.fetch_many(call.with_text(&prepared.main));
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Right(row) => {
                    room.for_one_more(changed.len())?;
                    changed.push(image(&row, row.len() - 2 * table.key.len(), table.key.len())?);
                    if write.returning.is_some() {
                        answer.push(Either::Right(row));
                    }
                }
                Either::Left(done) => answer.push(Either::Left(done)),
            }
        }
        drop(results);
        for key in changed {
            if key.iter().any(Cell::is_null) {
                let part = format!("a row of {} whose primary key is NULL", table.name);
                return Err(DtxError::refused(part, "declare the key NOT NULL").into());
            }
            let before: Option<(Row, _)> = before.remove(&key);
            if before.is_some() == (write.kind == Kind::Insert) {
                return Err(differs(table).into());
            }
            let after = match write.kind {
                Kind::Delete => None,
                Kind::Insert | Kind::Update => {
                    let row = by_key(conn, &prepared.after, &step, &key).await?.ok_or_else(|| differs(table))?;
                    let keys = computed::answered(table, &row, 2 * width)?;
                    let row = image(&row, 0, width)?;
                    room.take(size(&row))?;
                    Some((row, keys))
                }
            };
            for at in 0..table.computed.len() {
                let key = |image: &Option<(Row, Vec<Option<String>>)>| image.as_ref()?.1.get(at).cloned().flatten();
                let [before, after] = [key(&before), key(&after)];
                if before != after {
                    keys.extend([before, after].into_iter().flatten());
                }
            }
            step.changes.push(Change { before: before.map(|(row, _)| row), after: after.map(|(row, _)| row) });
        }
        if !before.is_empty() {
            return Err(differs(table).into());
        }
        Ok(Captured { answer, step, keys, written: false })
    }

    fn locking(table: &Table, Lock { row, head, tail, bare, .. }: &Lock) -> SqlStr {
        let key = |at: &usize| cell::pair(&format!("{row}.{}", quoted(&table.columns[*at])));
        let keys = table.key.iter().map(key).collect::<Vec<_>>().join(", ");
        safe(format!("{head}{} {keys} {tail}", if *bare { "" } else { "," }))
    }

    fn locked(table: &Table, row: &SqliteRow) -> Result<Vec<Cell>, DtxError> {
        let width = table.key.len();
        image(row, row.len().saturating_sub(2 * width), width)
    }

    async fn probe(conn: &mut SqliteConnection) -> Result<(), DtxError> {
        // Possible only outside of a transaction; the one that it begins then is what the caller rolls back.
        match conn.execute("begin").await {
            Ok(_) => Err(DtxError::RollbackOnly("a statement past the capture ended its transaction")),
            Err(sqlx::Error::Database(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn check_deferred(_: &mut SqliteConnection) -> Result<(), DtxError> {
        // What is checked late fails the commit, which says so.
        Ok(())
    }

    fn part(_: &Table, _: usize, cell: &Cell) -> Part {
        cell::part(cell)
    }

    fn fold(_: &Table, _: usize, cell: &Cell, collation: Collation) -> Part {
        cell::fold(cell, collation)
    }

    async fn ready_for_undo(conn: &mut SqliteConnection) -> Result<(), DtxError> {
        // Rows come back one by one, so a child may come before its parent.
        conn.execute("pragma defer_foreign_keys = on").await?;
        Ok(())
    }

    fn fits(table: &Table, step: &Step) -> bool {
        table.columns == step.columns && table.key == step.key
    }

    async fn current(
        conn: &mut SqliteConnection,
        _: &Table,
        step: &Step,
        keys: &[&[Cell]],
    ) -> Result<Vec<Row>, DtxError> {
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.extend(current(conn, step, key).await?);
        }
        Ok(rows)
    }

    async fn take_back(
        conn: &mut SqliteConnection,
        table: &Table,
        step: &Step,
        changes: &[&Change],
    ) -> Result<bool, DtxError> {
        for change in changes.iter().rev() {
            if !take_back(conn, table, step, change).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn mark(conn: &mut SqliteConnection) -> Result<(), DtxError> {
        watch::mark(conn).await
    }

    async fn unmark(conn: &mut SqliteConnection) -> Result<(), DtxError> {
        watch::unmark(conn).await
    }

    async fn watch(conn: &mut SqliteConnection, table: &str, mode: Option<Watch>) -> Result<(), DtxError> {
        watch::watch(conn, table, mode).await
    }

    async fn watches(conn: &mut SqliteConnection) -> Result<Vec<(String, Watch)>, DtxError> {
        watch::watches(conn).await
    }

    async fn texts(conn: &mut SqliteConnection, cells: &[&Cell]) -> Result<Vec<String>, DtxError> {
        show::texts(conn, cells).await
    }

    fn undo_pool(users: &SqlitePool) -> SqlitePool {
        let options = users.options().clone().min_connections(0).max_connections(2);
        options.connect_lazy_with((*users.connect_options()).clone())
    }
}

async fn current(conn: &mut SqliteConnection, step: &Step, key: &[Cell]) -> Result<Option<Row>, DtxError> {
    let select = format!("select {} from main.{}", pairs(step.columns.iter()), quoted(&step.table));
    let row = by_key(conn, &select, step, key).await?;
    row.map(|row| image(&row, 0, step.columns.len())).transpose()
}

async fn by_key(
    conn: &mut SqliteConnection,
    select: &str,
    step: &Step,
    key: &[Cell],
) -> Result<Option<SqliteRow>, DtxError> {
    let mut args = SqliteArguments::default();
    let condition = condition(&mut args, step, key)?;
    Ok(conn.fetch_optional(Call::own(safe(format!("{select} where {condition}")), args)).await?)
}

async fn take_back(
    conn: &mut SqliteConnection,
    Table { policies, .. }: &Table,
    step: &Step,
    change: &Change,
) -> Result<bool, DtxError> {
    let mut args = SqliteArguments::default();
    let table = quoted(&step.table);
    let text = match (&change.before, &change.after) {
        (None, None) => return Ok(true),
        (None, Some(after)) => {
            let by_key = condition(&mut args, step, &step.key_of(after))?;
            format!("delete from main.{table} where {by_key}")
        }
        (Some(before), None) => {
            let columns: Vec<_> = step.columns.iter().map(|column| quoted(column)).collect();
            let values: Vec<_> = before.iter().map(holder).collect();
            before.iter().try_for_each(|cell| bind(&mut args, cell))?;
            format!("insert into main.{table} ({}) values ({})", columns.join(", "), values.join(", "))
        }
        (Some(before), Some(after)) => {
            let mut sets = Vec::new();
            for (at, (column, (old, new))) in step.columns.iter().zip(before.iter().zip(after)).enumerate() {
                let column = quoted(column);
                match policies.get(&at) {
                    _ if old == new => {}
                    Some(Policy::Monotonic) if cell::class(old) == "integer" => {
                        sets.push(format!("{column} = {column} + 1"))
                    }
                    _ => {
                        sets.push(format!("{column} = {}", holder(old)));
                        bind(&mut args, old)?;
                    }
                }
            }
            if sets.is_empty() {
                return Ok(true);
            }
            let by_key = condition(&mut args, step, &step.key_of(after))?;
            format!("update main.{table} set {} where {by_key}", sets.join(", "))
        }
    };
    let done = conn.execute(Call::own(safe(text), args)).await?;
    Ok(done.rows_affected() == 1)
}

fn image(row: &SqliteRow, from: usize, columns: usize) -> Result<Row, DtxError> {
    (0..columns).map(|at| read(row, from + 2 * at)).collect()
}

/// The condition that finds exactly the row of a key. The storage class is part of it, since a column without a type tells
/// 1 and '1' apart while the comparison may not.
fn condition(args: &mut SqliteArguments, step: &Step, key: &[Cell]) -> Result<String, DtxError> {
    let mut parts = Vec::new();
    for (&at, cell) in step.key.iter().zip(key) {
        let column = step.columns.get(at).map(|column| quoted(column)).unwrap_or_default();
        parts.push(format!("{column} = {} and typeof({column}) = '{}'", holder(cell), cell::class(cell)));
        bind(args, cell)?;
    }
    Ok(parts.join(" and "))
}

/// Between the images and the change nothing moves but the clock, by which a condition may choose.
fn differs(table: &Table) -> DtxError {
    DtxError::Moved { table: table.name.clone() }
}
