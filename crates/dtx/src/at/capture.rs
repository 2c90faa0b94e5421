//! What each database does in its own way: reading the catalogue, taking images, and applying them backwards.

use async_trait::async_trait;
use onceward_backend::Db;
use sqlx::{Either, Pool, SqlStr};

use super::call::Call;
use super::catalog::Table;
use super::image::{Cell, Change, Row, Step};
use super::key::Part;
use super::plan::Write;
use crate::DtxError;

#[cfg(feature = "sqlite")]
mod sqlite;

pub(crate) mod sealed {
    #[cfg(feature = "sqlite")]
    impl Sealed for sqlx::Sqlite {}

    pub trait Sealed {}
}

/// A database whose statements can be captured: `sqlx::Sqlite`. Sealed.
#[diagnostic::on_unimplemented(
    message = "statements on `{Self}` cannot be captured for undo",
    note = "branches run on `sqlx::Sqlite`, with the feature `sqlite`"
)]
#[async_trait]
#[expect(private_interfaces, reason = "sealed: nobody outside calls or implements these")]
pub trait AtDb: Db + sealed::Sealed {
    /// A number that differs after every change of the schema.
    #[doc(hidden)]
    async fn schema(conn: &mut Self::Connection) -> Result<i64, DtxError>;

    /// Reads a table from the catalogue.
    ///
    /// # Errors
    /// [`DtxError::Refused`] if no change of it could be undone for certain.
    #[doc(hidden)]
    async fn table(conn: &mut Self::Connection, name: &str) -> Result<Table, DtxError>;

    /// The texts that capture a write to a table.
    #[doc(hidden)]
    fn prepare(table: &Table, write: &Write) -> Prepared;

    /// Runs a write with its images. Errors of the driver stay what they are.
    #[doc(hidden)]
    async fn capture(
        conn: &mut Self::Connection,
        table: &Table,
        write: &Write,
        prepared: &Prepared,
        call: Call<Self>,
        room: Room,
    ) -> Result<Captured<Self>, sqlx::Error>;

    /// A key value for a lock text.
    #[doc(hidden)]
    fn part(cell: &Cell) -> Part;

    /// A text value folded as a unique key compares it.
    #[doc(hidden)]
    fn fold(cell: &Cell, collation: super::catalog::Collation) -> Part;

    /// Readies a transaction for undo.
    #[doc(hidden)]
    async fn ready_for_undo(conn: &mut Self::Connection) -> Result<(), DtxError>;

    /// The row of a key as it is now.
    #[doc(hidden)]
    async fn current(conn: &mut Self::Connection, step: &Step, key: &[Cell]) -> Result<Option<Row>, DtxError>;

    /// Takes one change back. False if its row was not there.
    #[doc(hidden)]
    async fn take_back(conn: &mut Self::Connection, step: &Step, change: &Change) -> Result<bool, DtxError>;

    /// The small pool that phase two uses, so that it never waits for the user's.
    #[doc(hidden)]
    fn undo_pool(users: &Pool<Self>) -> Pool<Self>;
}

/// How many more rows a branch may change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) left: usize,
    /// Of the whole branch, for the error.
    pub(crate) limit: usize,
}

impl Room {
    pub(crate) fn for_one_more(self, rows: usize) -> Result<(), DtxError> {
        if rows < self.left { Ok(()) } else { Err(DtxError::TooLarge { what: "rows", limit: self.limit }) }
    }
}

/// The texts of a captured write.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// Reads the rows before they change; none for INSERT.
    pub(crate) before: Option<SqlStr>,
    /// The user's statement, which also answers the keys it changed.
    pub(crate) main: SqlStr,
}

/// What a captured write came to.
#[derive(Debug)]
pub(crate) struct Captured<D: Db> {
    /// What the user is answered.
    pub(crate) answer: Vec<Either<D::QueryResult, D::Row>>,
    pub(crate) step: Step,
}
