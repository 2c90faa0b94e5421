//! The executor that captures what the statements of a branch change.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use onceward_backend::{Conn, Hold};
use sqlx::{Arguments, Either, Error, Execute, Executor, SqlStr, Transaction};
use uuid::Uuid;

use super::call::Call;
use super::capture::{AtDb, Covered, NewUndo, Room};
use super::catalog::Table;
use super::image::Step;
use super::locks::key_text;
use super::log;
use super::plans::Planned;
use super::savepoint::Kept;
use super::{At, AtOptions};
use crate::DtxError;
use crate::tc::lock::LockKey;

/// A connection in the local transaction of a branch: a sqlx `Executor`, whose statements are captured so that they can be
/// undone. `&mut *tx` of an [`AtTransaction`](crate::AtTransaction) is one.
pub struct AtConnection<D: AtDb> {
    pub(super) tx: Transaction<'static, D>,
    pub(super) at: At<D>,
    pub(super) role: Role,
    pub(super) steps: Vec<Done>,
    pub(super) bytes: usize,
    /// The context of the undo record, if a statement has written one already.
    pub(super) written: Option<String>,
    /// The rows that were read to be locked.
    pub(super) read: BTreeSet<LockKey>,
    pub(super) state: State,
    /// True if the watches let it pass.
    pub(super) marked: bool,
    /// How many savepoints are open.
    pub(super) depth: usize,
    /// A savepoint that was dropped without an end: back to it before anything else.
    pub(super) dropped: Option<Kept>,
}

/// A captured statement, and its table as it was planned for.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) step: Step,
    pub(super) table: Arc<Table>,
    /// The lock texts of unique keys that the database computed.
    pub(super) keys: BTreeSet<String>,
}

/// Whose transaction it is.
#[derive(Debug)]
pub(super) enum Role {
    /// A branch of this global transaction, its id, and the name under which it holds messages.
    Branch { xid: String, branch_id: i64, hold: Option<String> },
    /// A transaction of its own that only respects the locks of others, but those that it was given after a wait.
    Local { turn: Option<String> },
}

/// What forbids to go on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// A statement has begun and its end was not seen: if its future is dropped, nobody knows what it did.
    pub(super) in_flight: bool,
    /// The database answered an error.
    pub(super) failed: bool,
    /// Statements ran past the capture since the last look, and their errors were not seen.
    pub(super) uncaptured: bool,
}

impl State {
    pub(super) fn check(self) -> Result<(), DtxError> {
        match self {
            Self { in_flight: true, .. } => Err(DtxError::RollbackOnly("a statement was dropped half way")),
            Self { failed: true, .. } => Err(DtxError::RollbackOnly("a statement failed")),
            _ => Ok(()),
        }
    }
}

impl<D: AtDb> fmt::Debug for AtConnection<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtConnection")
            .field("resource", &self.at.resource_id())
            .field("role", &self.role)
            .field("steps", &self.steps.len())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

type Answer<D> = Either<<D as sqlx::Database>::QueryResult, <D as sqlx::Database>::Row>;

impl<D: AtDb> AtConnection<D> {
    /// Runs a write with its images. From its first to its last trip the transaction counts as in flight.
    async fn captured(&mut self, covered: &Covered<D>, call: Call<D>) -> Result<Vec<Answer<D>>, Error> {
        let given = call.args.as_ref().map_or(0, Arguments::len);
        if given != covered.write.arguments {
            // Drivers bind NULL for what is missing, or only notice after the image was taken.
            let part = format!("{given} arguments for {} placeholders", covered.write.arguments);
            return Err(DtxError::refused(part, "bind as many as there are").into());
        }
        if covered.table.watched && !self.marked {
            self.pass_watches().await?;
        }
        let AtOptions { max_rows, max_bytes, .. } = *self.at.options();
        let rows: usize = self.steps.iter().map(|done| done.step.changes.len()).sum();
        let (rows, bytes) = (max_rows.saturating_sub(rows), max_bytes.saturating_sub(self.bytes));
        let room = Room { rows, bytes, max_rows, max_bytes };
        let context = match &self.role {
            Role::Branch { hold, .. } if self.written.is_none() && self.steps.is_empty() => {
                Some(log::context(hold.as_deref()))
            }
            _ => None,
        };
        let undo = match (&self.role, &context) {
            (Role::Branch { xid, branch_id, .. }, Some(context)) => {
                Some(NewUndo { xid, branch_id: *branch_id, context })
            }
            _ => None,
        };
        self.state.in_flight = true;
        let captured = D::capture(&mut self.tx, covered, call, room, undo).await;
        self.state.in_flight = false;
        let captured = captured.map_err(|error| self.stumbled(error))?;
        self.bytes += captured.step.changes.iter().map(super::image::Change::size).sum::<usize>();
        if captured.written {
            self.written = context;
        }
        if !captured.step.changes.is_empty() {
            let (step, table, keys) = (captured.step, Arc::clone(&covered.table), captured.keys);
            self.steps.push(Done { step, table, keys });
        }
        Ok(captured.answer)
    }

    /// Says that the transaction is one of ours, which later ones of this process say by their BEGIN.
    async fn pass_watches(&mut self) -> Result<(), Error> {
        self.at.0.watched.store(true, Ordering::Relaxed);
        self.state.in_flight = true;
        let marked = D::mark(&mut self.tx).await;
        self.state.in_flight = false;
        self.marked = true;
        marked.map_err(|error| self.stumbled(error.into()))
    }

    /// Runs a query that locks rows to its end, since all of them are locked, and notes their keys.
    async fn locking(&mut self, table: &Table, call: Call<D>) -> Result<Vec<Answer<D>>, Error> {
        self.state.in_flight = true;
        let answer = self.noted(table, call).await;
        self.state.in_flight = false;
        answer.map_err(|error| self.stumbled(error))
    }

    async fn noted(&mut self, table: &Table, call: Call<D>) -> Result<Vec<Answer<D>>, Error> {
        let limit = self.at.options().max_rows;
        let mut answer = Vec::new();
        let mut results = D::executor(&mut self.tx).fetch_many(call);
        while let Some(result) = results.try_next().await? {
            if let Either::Right(row) = &result {
                let key = key_text::<D>(table, &D::locked(table, row)?);
                let (resource_id, table) = (self.at.resource_id().to_owned(), table.locked_as.clone());
                self.read.insert(LockKey { resource_id, table, key });
                if self.read.len() > limit {
                    return Err(DtxError::TooLarge { what: "rows", limit }.into());
                }
            }
            answer.push(result);
        }
        Ok(answer)
    }

    /// Notes that a captured statement failed, and that its plan may be what is wrong.
    fn stumbled(&mut self, error: Error) -> Error {
        self.state.failed = true;
        if matches!(DtxError::within(&error), Some(DtxError::Moved { .. } | DtxError::Refused { .. })) {
            self.at.plans().forget();
        }
        error
    }

    /// Looks whether statements past the capture have left the transaction whole.
    pub(super) async fn probe(&mut self) -> Result<(), DtxError> {
        if self.state.uncaptured {
            // Nobody knows what a dropped look has seen.
            self.state.in_flight = true;
            let probed = D::probe(&mut self.tx).await;
            self.state = State { in_flight: false, failed: probed.is_err(), uncaptured: false };
            probed?;
        }
        Ok(())
    }

    async fn planned(&mut self, text: &str) -> Result<Arc<Planned<D>>, DtxError> {
        self.settle().await?;
        self.state.check()?;
        if D::ENDS_BY_ITSELF {
            self.probe().await?;
        }
        let at = self.at.clone();
        if D::SCHEMA_MOVES {
            at.plans().schema(D::schema(&mut self.tx).await?);
        }
        let planned = at.plans().get(&mut self.tx, text, &at.options().tables).await;
        // On some databases an error ends the transaction, whoever asked.
        planned.inspect_err(|error| self.state.failed |= matches!(error, DtxError::Backend(_)))
    }
}

impl<'c, D: AtDb> Executor<'c> for &'c mut AtConnection<D> {
    type Database = D;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer<D>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, D>,
    {
        // Taken apart here and not in the future, which must not hold `E`.
        let call = Call::take(query);
        async move {
            let call = call.map_err(Error::Encode)?.bound();
            let planned = self.planned(call.sql.as_str()).await?;
            match &*planned {
                Planned::Read => {
                    let AtConnection { tx, state, .. } = self;
                    Ok(D::executor(tx).fetch_many(call).inspect_err(|_| state.failed = true).boxed())
                }
                Planned::Lock(table, text) => {
                    let answer = self.locking(table, call.with_text(text)).await?;
                    Ok(stream::iter(answer.into_iter().map(Ok)).boxed())
                }
                Planned::Write(covered) => {
                    let answer = self.captured(covered, call).await?;
                    Ok(stream::iter(answer.into_iter().map(Ok)).boxed())
                }
            }
        }
        .try_flatten_stream()
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<D::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, D>,
    {
        let call = Call::take(query);
        async move {
            let call = call.map_err(Error::Encode)?.bound();
            let planned = self.planned(call.sql.as_str()).await?;
            match &*planned {
                Planned::Read => {
                    let row = D::executor(&mut self.tx).fetch_optional(call).await;
                    row.inspect_err(|_| self.state.failed = true)
                }
                Planned::Lock(table, text) => {
                    let answer = self.locking(table, call.with_text(text)).await?;
                    Ok(answer.into_iter().find_map(Either::right))
                }
                Planned::Write(covered) => {
                    let answer = self.captured(covered, call).await?;
                    Ok(answer.into_iter().find_map(Either::right))
                }
            }
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [D::TypeInfo]) -> BoxFuture<'e, Result<D::Statement, Error>>
    where
        'c: 'e,
    {
        async move {
            self.settle().await?;
            self.state.check()?;
            let prepared = D::executor(&mut self.tx).prepare_with(sql, parameters).await;
            prepared.inspect_err(|_| self.state.failed = true)
        }
        .boxed()
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<D>, Error>>
    where
        'c: 'e,
    {
        async move {
            self.settle().await?;
            self.state.check()?;
            let described = D::executor(&mut self.tx).describe(sql).await;
            described.inspect_err(|_| self.state.failed = true)
        }
        .boxed()
    }
}

impl<D: AtDb> Conn<D> for AtConnection<D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        self
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        self.state.uncaptured = true;
        if self.dropped.take().is_some() {
            // The way back to that savepoint would take with it what comes now.
            self.state.failed = true;
        }
        &mut self.tx
    }

    fn hold(&mut self) -> Option<Hold> {
        match &mut self.role {
            Role::Branch { xid, hold, .. } => {
                let hold_id = hold.get_or_insert_with(|| Uuid::now_v7().simple().to_string()).clone();
                Some(Hold { xid: xid.clone(), hold_id })
            }
            Role::Local { .. } => None,
        }
    }
}
