//! What each database does in its own way: reading the catalogue, taking images, and applying them backwards.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use onceward_backend::{BackendError, Db};
use sqlx::{Either, Pool, SqlStr};

use super::call::Call;
use super::catalog::{Collation, Table};
use super::image::{Cell, Change, Row, Step};
use super::key::Part;
use super::options::TableOptions;
use super::plan::{Calls, Lock, Write};
use super::watch::Watch;
use crate::DtxError;

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

pub(crate) mod sealed {
    #[cfg(feature = "postgres")]
    impl Sealed for sqlx::Postgres {}
    #[cfg(feature = "sqlite")]
    impl Sealed for sqlx::Sqlite {}

    pub trait Sealed {}
}

/// A database whose statements can be captured: `sqlx::Postgres` or `sqlx::Sqlite`. Sealed.
#[diagnostic::on_unimplemented(
    message = "statements on `{Self}` cannot be captured for undo",
    note = "branches run on `sqlx::Postgres` or `sqlx::Sqlite`, behind the feature `postgres` or `sqlite`"
)]
#[async_trait]
#[expect(private_interfaces, reason = "sealed: nobody outside calls or implements these")]
pub trait AtDb: Db + sealed::Sealed {
    /// The texts of a captured write.
    #[doc(hidden)]
    type Prepared: Debug + Send + Sync + 'static;

    /// True if an error may end the transaction, so that what follows commits by itself.
    #[doc(hidden)]
    const ENDS_BY_ITSELF: bool;

    /// True if the schema may change under an open transaction. Asking for it costs nothing then.
    #[doc(hidden)]
    const SCHEMA_MOVES: bool;

    /// The BEGIN of a transaction that a watch lets pass, where a text can say so.
    #[doc(hidden)]
    const MARKED: Option<&'static str>;

    /// What no two resources may share, because they would not see each other's locks; none if it cannot be a resource.
    #[doc(hidden)]
    async fn home(conn: &mut Self::Connection) -> Result<Option<String>, BackendError>;

    /// A number that differs after a change of the schema: plans are kept for as long as it stays.
    #[doc(hidden)]
    async fn schema(conn: &mut Self::Connection) -> Result<i64, DtxError>;

    /// Refuses calls of functions that may change something by themselves.
    #[doc(hidden)]
    async fn check_calls(conn: &mut Self::Connection, calls: &Calls) -> Result<(), DtxError>;

    /// Reads a table from the catalogue.
    ///
    /// # Errors
    /// [`DtxError::Refused`] if no change of it could be undone for certain.
    #[doc(hidden)]
    async fn table(conn: &mut Self::Connection, name: &str, options: &[TableOptions]) -> Result<Table, DtxError>;

    /// The texts that capture a write to a table.
    #[doc(hidden)]
    fn prepare(table: &Table, write: &Write) -> Self::Prepared;

    /// Runs a write with its images. Where the database can, the statement writes `undo` itself. Errors of the driver stay
    /// what they are.
    #[doc(hidden)]
    async fn capture(
        conn: &mut Self::Connection,
        covered: &Covered<Self>,
        call: Call<Self>,
        room: Room,
        undo: Option<NewUndo<'_>>,
    ) -> Result<Captured<Self>, sqlx::Error>;

    /// The text of a query that answers the keys of its rows behind the user's columns.
    #[doc(hidden)]
    fn locking(table: &Table, lock: &Lock) -> SqlStr;

    /// The key of a row that such a query answered.
    #[doc(hidden)]
    fn locked(table: &Table, row: &Self::Row) -> Result<Vec<Cell>, DtxError>;

    /// Fails if the transaction has failed or ended under a statement that ran past the capture.
    #[doc(hidden)]
    async fn probe(conn: &mut Self::Connection) -> Result<(), DtxError>;

    /// Has the database check now what it would check at the commit.
    #[doc(hidden)]
    async fn check_deferred(conn: &mut Self::Connection) -> Result<(), DtxError>;

    /// A key value of the column at `at`, for a lock text.
    #[doc(hidden)]
    fn part(table: &Table, at: usize, cell: &Cell) -> Part;

    /// The same, folded as a unique key compares it.
    #[doc(hidden)]
    fn fold(table: &Table, at: usize, cell: &Cell, collation: Collation) -> Part;

    /// Readies a transaction for undo.
    #[doc(hidden)]
    async fn ready_for_undo(conn: &mut Self::Connection) -> Result<(), DtxError>;

    /// True if images of that step are still images of rows of the table.
    #[doc(hidden)]
    fn fits(table: &Table, step: &Step) -> bool;

    /// The rows of these keys as they are now, locked where the database locks rows.
    #[doc(hidden)]
    async fn current(
        conn: &mut Self::Connection,
        table: &Table,
        step: &Step,
        keys: &[&[Cell]],
    ) -> Result<Vec<Row>, DtxError>;

    /// Takes changes of one step back, from the last to the first. False if a row was not there.
    #[doc(hidden)]
    async fn take_back(
        conn: &mut Self::Connection,
        table: &Table,
        step: &Step,
        changes: &[&Change],
    ) -> Result<bool, DtxError>;

    /// Lets a transaction that has begun pass the watches.
    #[doc(hidden)]
    async fn mark(conn: &mut Self::Connection) -> Result<(), DtxError>;

    /// Takes away what of that would outlive the transaction.
    #[doc(hidden)]
    async fn unmark(conn: &mut Self::Connection) -> Result<(), DtxError>;

    /// Sets the watch of a table, or removes it. The caller's transaction is the installation.
    #[doc(hidden)]
    async fn watch(conn: &mut Self::Connection, table: &str, mode: Option<Watch>) -> Result<(), DtxError>;

    /// The watched tables.
    #[doc(hidden)]
    async fn watches(conn: &mut Self::Connection) -> Result<Vec<(String, Watch)>, DtxError>;

    /// Values as the database prints them, for people. None of them is null.
    #[doc(hidden)]
    async fn texts(conn: &mut Self::Connection, cells: &[&Cell]) -> Result<Vec<String>, DtxError>;

    /// The small pool that phase two uses, so that it never waits for the user's.
    #[doc(hidden)]
    fn undo_pool(users: &Pool<Self>) -> Pool<Self>;
}

/// A statement whose changes are captured.
#[derive(Debug)]
pub(crate) struct Covered<D: AtDb> {
    pub(crate) table: Arc<Table>,
    pub(crate) write: Write,
    pub(crate) prepared: D::Prepared,
}

/// The undo record that a branch is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewUndo<'a> {
    pub(crate) xid: &'a str,
    pub(crate) branch_id: i64,
    pub(crate) context: &'a str,
}

/// How many more rows a branch may change, and how many bytes of images it may make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    /// Of the whole branch, for the errors.
    pub(crate) max_rows: usize,
    pub(crate) max_bytes: usize,
}

impl Room {
    pub(crate) fn for_one_more(self, rows: usize) -> Result<(), DtxError> {
        if rows < self.rows { Ok(()) } else { Err(DtxError::TooLarge { what: "rows", limit: self.max_rows }) }
    }

    /// Takes room for images, before more of them are read.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), DtxError> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or(DtxError::TooLarge { what: "bytes", limit: self.max_bytes })?;
        Ok(())
    }
}

/// What a captured write came to.
#[derive(Debug)]
pub(crate) struct Captured<D: Db> {
    /// What the user is answered.
    pub(crate) answer: Vec<Either<D::QueryResult, D::Row>>,
    pub(crate) step: Step,
    /// The lock texts of unique keys that the database computed.
    pub(crate) keys: BTreeSet<String>,
    /// True if the statement has written the undo record.
    pub(crate) written: bool,
}
