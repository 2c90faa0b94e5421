//! The executor that captures what the statements of a branch change.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use onceward_backend::{Conn, Hold};
use sqlx::{Arguments, Either, Error, Execute, Executor, SqlStr, Transaction};
use uuid::Uuid;

use super::call::Call;
use super::capture::{AtDb, Room};
use super::catalog::Table;
use super::image::Step;
use super::plans::Planned;
use super::{At, AtOptions};
use crate::DtxError;

/// A connection in the local transaction of a branch: a sqlx `Executor`, whose statements are captured so that they can be
/// undone. `&mut *tx` of an [`AtTransaction`](crate::AtTransaction) is one.
pub struct AtConnection<D: AtDb> {
    pub(super) tx: Transaction<'static, D>,
    pub(super) at: At<D>,
    pub(super) role: Role,
    pub(super) steps: Vec<Done>,
    pub(super) bytes: usize,
    pub(super) state: State,
}

/// A captured statement, and its table as it was planned for.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) step: Step,
    pub(super) table: Arc<Table>,
}

/// Whose transaction it is.
#[derive(Debug)]
pub(super) enum Role {
    /// A branch of this global transaction, and the name under which it holds messages.
    Branch { xid: String, hold: Option<String> },
    /// A transaction of its own that only respects the locks of others.
    Local,
}

/// What forbids to go on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// A statement has begun and its end was not seen: if its future is dropped, nobody knows what it did.
    pub(super) in_flight: bool,
    /// The database answered an error.
    pub(super) failed: bool,
    /// Statements ran past the capture, whose errors were not seen.
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
    async fn captured(&mut self, planned: &Planned, call: Call<D>) -> Result<Vec<Answer<D>>, Error> {
        let Planned::Write { table, write, prepared } = planned else {
            return Err(DtxError::RollbackOnly("a read was captured").into());
        };
        let given = call.args.as_ref().map_or(0, Arguments::len);
        if given < write.arguments {
            // Drivers bind NULL for what is missing, or only notice after the image was taken.
            let part = format!("{given} arguments for {} placeholders", write.arguments);
            return Err(DtxError::refused(part, "bind them all").into());
        }
        let AtOptions { max_rows, max_bytes, .. } = *self.at.options();
        let rows: usize = self.steps.iter().map(|done| done.step.changes.len()).sum();
        let room = Room { left: max_rows.saturating_sub(rows), limit: max_rows };
        self.state.in_flight = true;
        let captured = D::capture(&mut self.tx, table, write, prepared, call, room).await;
        self.state.in_flight = false;
        let captured = captured.inspect_err(|_| self.state.failed = true)?;
        self.bytes += captured.step.changes.iter().map(super::image::Change::size).sum::<usize>();
        if self.bytes > max_bytes {
            self.state.failed = true;
            return Err(DtxError::TooLarge { what: "bytes", limit: max_bytes }.into());
        }
        if !captured.step.changes.is_empty() {
            self.steps.push(Done { step: captured.step, table: Arc::clone(table) });
        }
        Ok(captured.answer)
    }

    async fn planned(&mut self, text: &str) -> Result<Arc<Planned>, DtxError> {
        self.state.check()?;
        let plans = Arc::clone(self.at.plans());
        plans.get::<D>(&mut self.tx, text).await
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
            let call = call.map_err(Error::Encode)?;
            let planned = self.planned(call.sql.as_str()).await?;
            if let Planned::Read = *planned {
                let AtConnection { tx, state, .. } = self;
                return Ok(D::executor(tx).fetch_many(call).inspect_err(|_| state.failed = true).boxed());
            }
            let answer = self.captured(&planned, call).await?;
            Ok(stream::iter(answer.into_iter().map(Ok)).boxed())
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
            let call = call.map_err(Error::Encode)?;
            let planned = self.planned(call.sql.as_str()).await?;
            if let Planned::Read = *planned {
                let row = D::executor(&mut self.tx).fetch_optional(call).await;
                return row.inspect_err(|_| self.state.failed = true);
            }
            let answer = self.captured(&planned, call).await?;
            Ok(answer.into_iter().find_map(Either::right))
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [D::TypeInfo]) -> BoxFuture<'e, Result<D::Statement, Error>>
    where
        'c: 'e,
    {
        D::executor(&mut self.tx).prepare_with(sql, parameters)
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<D>, Error>>
    where
        'c: 'e,
    {
        D::executor(&mut self.tx).describe(sql)
    }
}

impl<D: AtDb> Conn<D> for AtConnection<D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        self
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        self.state.uncaptured = true;
        &mut self.tx
    }

    fn hold(&mut self) -> Option<Hold> {
        match &mut self.role {
            Role::Branch { xid, hold } => {
                let hold_id = hold.get_or_insert_with(|| Uuid::now_v7().simple().to_string()).clone();
                Some(Hold { xid: xid.clone(), hold_id })
            }
            Role::Local => None,
        }
    }
}
