//! SQL on three databases, written once.
//!
//! Stores are generic over one trait, [`Db`], and state their statements as templates whose few differences between
//! databases are data ([`dialect`]).

mod dialect;
mod driver;
mod migrate;
mod once;
mod statement;
mod value;

pub use dialect::Dialect;
pub use migrate::Migrations;
pub use statement::{Sql, Statement};
pub use value::{Column, Columns, Value};

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Executor, IntoArguments, Pool, SqlSafeStr, Transaction};

use crate::BackendError;

mod sealed {
    pub trait Sealed {}
}

/// A database that the stores of this workspace can live in: `sqlx::Postgres`, `sqlx::MySql` or `sqlx::Sqlite`, each
/// behind the feature of its name. Sealed: everything past the name may change.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a database of this crate",
    note = "use `sqlx::Postgres`, `sqlx::MySql` or `sqlx::Sqlite`, and enable the feature `postgres`, `mysql` or `sqlite`"
)]
pub trait Db: sealed::Sealed + Database<Arguments: IntoArguments<Self> + Clone + Sync> {
    /// What differs between the databases, as data.
    const DIALECT: Dialect;

    #[doc(hidden)]
    fn executor(conn: &mut Self::Connection) -> impl Executor<'_, Database = Self>;
    #[doc(hidden)]
    fn rows_affected(result: &Self::QueryResult) -> u64;
    #[doc(hidden)]
    fn bind(args: &mut Self::Arguments, value: Value<'_>) -> Result<(), sqlx::error::BoxDynError>;
    #[doc(hidden)]
    fn int(row: &Self::Row, at: usize) -> sqlx::Result<Option<i64>>;
    #[doc(hidden)]
    fn text(row: &Self::Row, at: usize) -> sqlx::Result<Option<String>>;
    #[doc(hidden)]
    fn bytes(row: &Self::Row, at: usize) -> sqlx::Result<Option<Vec<u8>>>;
    #[doc(hidden)]
    fn bool(row: &Self::Row, at: usize) -> sqlx::Result<Option<bool>>;
}

/// A connection or transaction that a write can join: yours, or that of a branch of a global transaction.
///
/// Every method in this workspace whose name ends in `_tx`, and `Outbox::enqueue`, takes `&mut impl Conn<D>`, so that its
/// record commits or rolls back with your own work. Write your functions over it in the same way to have them run on a
/// pooled connection, in a transaction and in a branch alike.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection or transaction on `{D}`",
    note = "pass `&mut tx` of a `Transaction`, `&mut conn` of a pooled connection, or `&mut tx` of a branch; a pool has no transaction to join"
)]
pub trait Conn<D: Db>: Send {
    /// An executor for one statement. Inside a branch of a global transaction the statement is captured for undo.
    fn executor(&mut self) -> impl Executor<'_, Database = D>;

    /// The connection below, whose statements are not captured. None of them may end the transaction: what follows would
    /// run on its own.
    #[doc(hidden)]
    fn uncaptured(&mut self) -> &mut D::Connection;

    /// Inside a branch of an undecided global transaction: under what name messages are held back until it is decided.
    /// Asking binds the branch to register.
    fn hold(&mut self) -> Option<Hold> {
        None
    }
}

/// Names what is held back until a global transaction is decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The global transaction.
    pub xid: String,
    /// The hold within it, one per branch, made by the client.
    pub hold_id: String,
}

impl<D: Db> Conn<D> for Transaction<'_, D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        D::executor(&mut *self)
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        &mut *self
    }
}

impl<D: Db> Conn<D> for PoolConnection<D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        D::executor(&mut *self)
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        &mut *self
    }
}

/// A transaction for writing: `BEGIN IMMEDIATE` on SQLite, so that it never fails half way for want of the write lock;
/// READ COMMITTED on the servers.
pub async fn begin<D: Db>(pool: &Pool<D>) -> Result<Transaction<'static, D>, BackendError> {
    begin_by(pool, D::DIALECT.begin()).await
}

/// The same by a text of the caller's, which is at least that.
pub async fn begin_by<D: Db>(pool: &Pool<D>, text: &'static str) -> Result<Transaction<'static, D>, BackendError> {
    let mut conn = pool.acquire().await?;
    // SQLite ends a transaction by itself when the disk is full. The driver takes it for open ever after, and the pool does
    // not look.
    while conn.is_in_transaction() {
        // Whatever it says to that: it is not used again.
        let _ = conn.close().await;
        conn = pool.acquire().await?;
    }
    Ok(Begin(Some(Transaction::begin(conn, Some(text.into_sql_str())))).await?)
}

/// A BEGIN that ends also if nobody waits for it any more. Given up half way, it would leave its connection in the pool with a
/// transaction that the driver knows nothing of, and what runs there next would be part of it.
struct Begin<D: Db>(Option<Pin<Box<dyn Future<Output = Begun<D>> + Send>>>);

type Begun<D> = Result<Transaction<'static, D>, sqlx::Error>;

impl<D: Db> Future for Begin<D> {
    type Output = Begun<D>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(begin) = &mut self.0 else { return Poll::Pending };
        let begun = ready!(begin.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(begun)
    }
}

impl<D: Db> Drop for Begin<D> {
    fn drop(&mut self) {
        if let (Some(begin), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            // A drop cannot wait. The task ends with one answer of the server.
            runtime.spawn(async move { drop(begin.await) });
        }
    }
}

/// Commits. An error whose class is [`ErrorClass::Unknown`](crate::ErrorClass::Unknown) may hide a commit that took
/// effect.
pub async fn commit<D: Db>(tx: Transaction<'static, D>) -> Result<(), BackendError> {
    Ok(tx.commit().await?)
}
