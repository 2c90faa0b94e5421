//! PostgreSQL: the statement, its images and the undo record in one statement, so that nothing can come between them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use onceward_backend::{BackendError, ErrorClass};
use sqlx::postgres::PgRow;
use sqlx::{Arguments, Either, Executor, PgConnection, PgPool, Postgres, Row as _};

use super::{AtDb, Captured, Covered, NewUndo, Room};
use crate::DtxError;
use crate::at::call::Call;
use crate::at::catalog::{Collation, Column, Table};
use crate::at::image::{Cell, Change, Kind, Row, Step, record};
use crate::at::key::Part;
use crate::at::plan::Write;

mod cell;
mod gate;
mod text;
mod undo;

use cell::raw;
use text::Prepared;

/// The catalogue is read anew that often: a trigger or a cascade that is added meanwhile is not seen before.
const CATALOGUE_LIFE: Duration = Duration::from_secs(5);

#[async_trait]
#[expect(private_interfaces, reason = "sealed: nobody outside calls these")]
impl AtDb for Postgres {
    type Prepared = Prepared;

    async fn home(conn: &mut PgConnection) -> Result<Option<String>, BackendError> {
        let text = "select current_setting('standard_conforming_strings'), (select system_identifier from pg_control_system())::text || '/' || \
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

    async fn check_calls(conn: &mut PgConnection, calls: &[String]) -> Result<(), DtxError> {
        gate::calls(conn, calls).await
    }

    async fn table(conn: &mut PgConnection, name: &str) -> Result<Table, DtxError> {
        gate::table(conn, name).await
    }

    fn prepare(table: &Table, write: &Write) -> Prepared {
        text::prepare(table, write)
    }

    async fn capture(
        conn: &mut PgConnection,
        Covered { table, write, prepared }: &Covered<Self>,
        mut call: Call<Self>,
        room: Room,
        undo: Option<NewUndo<'_>>,
    ) -> Result<Captured<Self>, sqlx::Error> {
        let args = call.args.get_or_insert_default();
        let undo = undo.filter(|_| args.len() + text::OWN_ARGUMENTS <= usize::from(u16::MAX));
        let text = if undo.is_some() { &prepared.with_undo } else { &prepared.alone };
        if let Some(NewUndo { xid, branch_id, context }) = undo {
            let added = args.add(xid).and_then(|()| args.add(branch_id)).and_then(|()| args.add(context));
            added.and_then(|()| args.add(&prepared.head[..])).map_err(sqlx::Error::Encode)?;
        }
        let mut step = table.step(write.kind);
        let mut answer = Vec::new();
        let mut results = conn.fetch_many(call.with_text(text));
        while let Some(result) = results.try_next().await.map_err(|error| text::explained(error, table))? {
            match result {
                Either::Right(row) => {
                    room.for_one_more(step.changes.len())?;
                    step.changes.push(change(&row, table)?);
                    if write.returning.is_some() {
                        answer.push(Either::Right(row));
                    }
                }
                Either::Left(done) => answer.push(Either::Left(done)),
            }
        }
        let written = undo.is_some() && !step.changes.is_empty();
        Ok(Captured { answer, step, written })
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
        // a policy hides must not look as if it were gone.
        conn.execute("set local lock_timeout = '2s'; set local row_security = off; set constraints all deferred")
            .await?;
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

/// The images of a changed row, which stand behind the user's columns.
fn change(row: &PgRow, table: &Table) -> Result<Change, DtxError> {
    let at = row.len().saturating_sub(text::PRIVATE);
    let relation: i64 = row.try_get(at)?;
    if relation != i64::from(table.server.relation) {
        let part = format!("a row of another table than {}", table.name);
        let instead = "name the table with its schema, and let all connections of a pool have one search_path";
        return Err(DtxError::refused(part, instead));
    }
    let image = |at| -> Result<Option<Row>, DtxError> {
        let Some(bytes) = row.try_get::<Option<&[u8]>, _>(at)? else { return Ok(None) };
        let row = record::row(bytes)?;
        if is_row_of(table, &row) { Ok(Some(row)) } else { Err(DtxError::Moved { table: table.name.clone() }) }
    };
    Ok(Change { before: image(at + 1)?, after: image(at + 2)? })
}
