//! PostgreSQL: the statement, its images and the undo record in one statement, so that nothing can come between them.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use onceward_backend::{BackendError, ErrorClass};
use sqlx::postgres::PgRow;
use sqlx::{Arguments, Either, Executor, PgConnection, PgPool, Postgres, Row as _, SqlStr};

use super::{AtDb, Captured, Covered, NewUndo, Room};
use crate::DtxError;
use crate::at::call::Call;
use crate::at::catalog::{Collation, Column, Computed, Table};
use crate::at::image::{Cell, Change, Kind, Row, Step, record};
use crate::at::key::Part;
use crate::at::options::TableOptions;
use crate::at::plan::{Calls, Lock, Write};
use crate::at::watch::Watch;

mod cell;
mod gate;
mod show;
mod text;
mod undo;
mod watch;

use cell::raw;
use text::Prepared;

/// The catalogue is read anew that often: a trigger or a cascade that is added meanwhile is not seen before.
const CATALOGUE_LIFE: Duration = Duration::from_secs(5);

#[async_trait]
#[expect(private_interfaces, reason = "sealed: nobody outside calls these")]
impl AtDb for Postgres {
    type Prepared = Prepared;

    const ENDS_BY_ITSELF: bool = false;
    const SCHEMA_MOVES: bool = true;
    const MARKED: Option<&'static str> = Some(watch::BEGIN);

    async fn home(conn: &mut PgConnection) -> Result<Option<String>, BackendError> {
        let text = "select current_setting('standard_conforming_strings'), \
                    (select system_identifier from pg_control_system())::text || '/' || \
                    (select oid from pg_database where datname = current_database())::text || '/' || \
                    coalesce(current_schema()::text, '')";
        let row = conn.fetch_one(text).await?;
        if row.try_get::<String, _>(0)? != "on" {
            // A text would end elsewhere than it seems to.
            let off = "standard_conforming_strings is off: switch it on for this pool";
            return Err(BackendError::new("postgres", ErrorClass::Refused, off));
        }
        Ok(Some(row.try_get(1)?))
    }

    async fn schema(_: &mut PgConnection) -> Result<i64, DtxError> {
        // Asking would cost a trip. What a statement itself can see (columns, types, another table of that name) is checked
        // with each one.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_secs() / CATALOGUE_LIFE.as_secs()).unwrap_or_default())
    }

    async fn check_calls(conn: &mut PgConnection, calls: &Calls) -> Result<(), DtxError> {
        gate::calls(conn, calls).await
    }

    async fn table(conn: &mut PgConnection, name: &str, options: &[TableOptions]) -> Result<Table, DtxError> {
        gate::table(conn, name, options).await
    }

    fn prepare(table: &Table, write: &Write) -> Prepared {
        text::prepare(table, write)
    }

    async fn capture(
        conn: &mut PgConnection,
        Covered { table, write, prepared }: &Covered<Self>,
        mut call: Call<Self>,
        mut room: Room,
        undo: Option<NewUndo<'_>>,
    ) -> Result<Captured<Self>, sqlx::Error> {
        let args = call.args.get_or_insert_default();
        let undo = undo.filter(|_| args.len() + text::OWN_ARGUMENTS <= usize::from(u16::MAX));
        let text = if undo.is_some() { &prepared.with_undo } else { &prepared.alone };
        if let Some(NewUndo { xid, branch_id, context }) = undo {
            let added = args.add(xid).and_then(|()| args.add(branch_id)).and_then(|()| args.add(context));
            added.and_then(|()| args.add(&prepared.head[..])).map_err(sqlx::Error::Encode)?;
        }
        let mut step = table.step(write);
        let mut keys = BTreeSet::new();
        let mut answer = Vec::new();
        let mut results = conn.fetch_many(call.with_text(text));
        while let Some(result) = results.try_next().await.map_err(|error| text::explained(error, table))? {
            match result {
                Either::Right(row) => {
                    room.for_one_more(step.changes.len())?;
                    let change = change(&row, table, write.kind)?;
                    room.take(change.size())?;
                    step.changes.push(change);
                    keys.extend(computed(&row, table)?);
                    if write.returning.is_some() {
                        answer.push(Either::Right(row));
                    }
                }
                Either::Left(done) => answer.push(Either::Left(done)),
            }
        }
        let written = undo.is_some() && !step.changes.is_empty();
        Ok(Captured { answer, step, keys, written })
    }

    fn locking(table: &Table, lock: &Lock) -> SqlStr {
        text::locking(table, lock)
    }

    fn locked(table: &Table, row: &PgRow) -> Result<Vec<Cell>, DtxError> {
        let at = row.len().saturating_sub(text::PRIVATE_OF_LOCK);
        is_of(row, at, table)?;
        record::row(row.try_get(at + 1)?)
    }

    async fn probe(conn: &mut PgConnection) -> Result<(), DtxError> {
        // Refused outside of a transaction, and in one that has failed.
        conn.execute("savepoint onceward_probe; release savepoint onceward_probe").await?;
        Ok(())
    }

    async fn check_deferred(conn: &mut PgConnection) -> Result<(), DtxError> {
        conn.execute("set constraints all immediate").await?;
        Ok(())
    }

    fn part(table: &Table, at: usize, cell: &Cell) -> Part {
        cell::part(table.server.column(at).base, cell)
    }

    fn fold(table: &Table, at: usize, cell: &Cell, _: Collation) -> Part {
        // The gate lets only types pass whose equality `part` knows.
        Self::part(table, at, cell)
    }

    async fn ready_for_undo(conn: &mut PgConnection) -> Result<(), DtxError> {
        // Bounded waits: a first phase that is still running, or a row that somebody holds, is tried again later. A row that
        // a policy hides must not look as if it were gone. XML that is no document has come from a session that takes it.
        let text = "set local lock_timeout = '2s'; set local row_security = off; set local xmloption = content; \
                    set constraints all deferred";
        conn.execute(text).await?;
        Ok(())
    }

    fn fits(table: &Table, step: &Step) -> bool {
        let images = step.changes.iter().flat_map(|change| [&change.before, &change.after]);
        table.server.relation == step.relation
            && table.columns == step.columns
            && table.key == step.key
            && images.flatten().all(|row| is_row_of(table, row))
    }

    async fn current(conn: &mut PgConnection, table: &Table, _: &Step, keys: &[&[Cell]]) -> Result<Vec<Row>, DtxError> {
        undo::current(conn, table, keys).await
    }

    async fn take_back(
        conn: &mut PgConnection,
        table: &Table,
        step: &Step,
        changes: &[&Change],
    ) -> Result<bool, DtxError> {
        match step.kind {
            Kind::Insert => undo::delete(conn, table, step, changes).await,
            Kind::Delete => undo::copy(conn, table, changes).await,
            Kind::Update => undo::update(conn, table, changes).await,
        }
    }

    async fn mark(conn: &mut PgConnection) -> Result<(), DtxError> {
        conn.execute(watch::MARK).await?;
        Ok(())
    }

    async fn unmark(_: &mut PgConnection) -> Result<(), DtxError> {
        // It goes with the transaction.
        Ok(())
    }

    async fn watch(conn: &mut PgConnection, table: &str, mode: Option<Watch>) -> Result<(), DtxError> {
        watch::watch(conn, table, mode).await
    }

    async fn watches(conn: &mut PgConnection) -> Result<Vec<(String, Watch)>, DtxError> {
        watch::watches(conn).await
    }

    async fn texts(conn: &mut PgConnection, cells: &[&Cell]) -> Result<Vec<String>, DtxError> {
        show::texts(conn, cells).await
    }

    fn undo_pool(users: &PgPool) -> PgPool {
        // With what the user's pool does to a new connection: it may set where tables are found, and as whom.
        let options = users.options().clone().min_connections(0).max_connections(2);
        options.connect_lazy_with((*users.connect_options()).clone())
    }
}

/// True if the number and types of a row's columns are those of the table.
fn is_row_of(table: &Table, row: &Row) -> bool {
    let columns = &table.server.columns;
    let same = |(cell, column): (&Cell, &Column)| cell.is_null() || cell.kind == column.kind;
    row.len() == columns.len() && row.iter().zip(columns).all(same)
}

/// Refuses a row of another relation, by the number at `at`.
fn is_of(row: &PgRow, at: usize, table: &Table) -> Result<(), DtxError> {
    let relation: i64 = row.try_get(at)?;
    let server = &table.server;
    if server.partitions.iter().chain([&server.relation]).any(|own| i64::from(*own) == relation) {
        return Ok(());
    }
    if !server.partitions.is_empty() {
        // A partition that has come since the catalogue was read.
        return Err(DtxError::Moved { table: table.name.clone() });
    }
    let part = format!("a row of another table than {}", table.name);
    let instead = "name the table with its schema, and let all connections of a pool have one search_path";
    Err(DtxError::refused(part, instead))
}

/// The images of a changed row, which stand behind the user's columns.
fn change(row: &PgRow, table: &Table, kind: Kind) -> Result<Change, DtxError> {
    let at = row.len().saturating_sub(text::private(table));
    is_of(row, at, table)?;
    let image = |at| -> Result<Option<Row>, DtxError> {
        let Some(bytes) = row.try_get::<Option<&[u8]>, _>(at)? else { return Ok(None) };
        let row = record::row(bytes)?;
        if is_row_of(table, &row) { Ok(Some(row)) } else { Err(DtxError::Moved { table: table.name.clone() }) }
    };
    let change = Change { before: image(at + 1)?, after: image(at + 2)? };
    if kind == Kind::Update
        && table.key.iter().any(|&at| change.cells(at).is_none_or(|(before, after)| before != after))
    {
        let part = format!("a trigger of {} that changes its primary key", table.name);
        return Err(DtxError::refused(part, "let it leave the key alone"));
    }
    Ok(change)
}

/// The values of unique keys that appeared or disappeared with a row, as the server computed them.
fn computed(row: &PgRow, table: &Table) -> Result<Vec<String>, DtxError> {
    let count = table.computed.len();
    let at = row.len().saturating_sub(2 * count);
    let mut keys = Vec::new();
    for (n, Computed { name, .. }) in table.computed.iter().enumerate() {
        let [before, after]: [Option<i64>; 2] = [row.try_get(at + n)?, row.try_get(at + count + n)?];
        if before != after {
            keys.extend([before, after].into_iter().flatten().map(|number| format!("{name}#{number:016x}")));
        }
    }
    Ok(keys)
}
