//! The outbox: saying something in the transaction that makes it true.

use std::{fmt, sync::Arc};

use onceward_backend::{
    BackendError, Conn, Db,
    internal::{begin, commit},
};
use sqlx::Pool;

use crate::{
    Error,
    message::{Message, MessageId},
    store::{SqlStore, Store},
    tx::{Tx, lend},
};

/// Enqueues messages in the caller's transaction: they exist if and only if it commits.
///
/// ```
/// # use onceward_reliable_mq::{Message, Outbox};
/// # use onceward_backend::sqlx::{self, Sqlite};
/// # onceward_backend::conformance::block_on(async {
/// # let pool = onceward_backend::sqlite::memory().await?;
/// let outbox = Outbox::<Sqlite>::new(pool.clone());
/// outbox.migrate().await?;
///
/// let mut tx = pool.begin().await?;
/// sqlx::query("create table orders (id text)").execute(&mut *tx).await?; // or whatever the service has to write
/// outbox.enqueue(&mut tx, &Message::to("orders.confirmed").key("order-7").text("order 7")?).await?;
/// tx.commit().await?;
/// outbox.wake();
/// # assert_eq!(outbox.store().counts().await?.hot, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Outbox<D: Db> {
    store: SqlStore<D>,
}

impl<D: Db> Outbox<D> {
    /// An outbox in the service's database; its tables are made by [`migrate`](Self::migrate).
    #[must_use]
    pub fn new(pool: Pool<D>) -> Self {
        Self { store: SqlStore::new(pool) }
    }

    /// Makes the tables or brings them up to date; harmless when repeated.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn migrate(&self) -> Result<(), Error> {
        self.store.migrate().await
    }

    /// Enqueues a message in the transaction that `conn` is in, with one insert, and answers its id.
    ///
    /// Enqueue last: messages of one key are in the order of these inserts, and that is the order of the changes they
    /// speak of only if the insert comes after the change's row lock. Inside a branch of a global transaction the message
    /// is held back until that is decided.
    ///
    /// # Errors
    /// [`Error::Backend`]; the transaction is then for the caller to roll back.
    pub async fn enqueue(&self, conn: &mut impl Conn<D>, message: &Message) -> Result<MessageId, Error> {
        self.store.enqueue_tx(conn, message).await
    }

    /// Enqueues several messages as [`enqueue`](Self::enqueue) does each, and answers their ids in the same order. On PostgreSQL
    /// and MariaDB up to 1,000 messages of together 4 MiB are one insert; delayed ones among them are another.
    ///
    /// Several of one message id are only right if all of them are delayed: then the first counts.
    ///
    /// # Errors
    /// [`Error::Backend`]; the transaction is then for the caller to roll back.
    ///
    /// ```
    /// # use onceward_reliable_mq::{Error, Message, Outbox};
    /// # use onceward_backend::sqlx::Sqlite;
    /// # onceward_backend::conformance::block_on(async {
    /// # let outbox = Outbox::<Sqlite>::new(onceward_backend::sqlite::memory().await?);
    /// # outbox.migrate().await?;
    /// let lines: Result<Vec<_>, _> = (0..500).map(|n| Message::to("stock.taken").key("order-7").text(n.to_string())).collect();
    /// let lines = lines?;
    /// let ids = outbox.transaction(async |mut tx| outbox.enqueue_all(&mut tx, &lines).await).await?;
    /// # assert_eq!((ids.len(), outbox.store().counts().await?.hot), (500, 500));
    /// # Ok::<_, Box<dyn std::error::Error + Send + Sync>>(()) }).unwrap();
    /// ```
    pub async fn enqueue_all(&self, conn: &mut impl Conn<D>, messages: &[Message]) -> Result<Vec<MessageId>, Error> {
        self.store.enqueue_all_tx(conn, messages).await
    }

    /// Tells the relay in this process to look now: to be called after the commit. Without it the relay finds the message
    /// at its next poll. On PostgreSQL it reaches other processes too, where this one [announces](SqlStore::announce) and they
    /// [listen](SqlStore::listen).
    pub fn wake(&self) {
        self.store.ring();
    }

    /// Runs `f` in a transaction, commits if it succeeds, and wakes the relay.
    ///
    /// # Errors
    /// What `f` answers, after a rollback; [`Error::Backend`] if the database fails, where the class `Unknown` may hide a
    /// commit that took effect; [`Error::TransactionKept`] if `f` did not let go of its transaction.
    ///
    /// ```
    /// # use onceward_reliable_mq::{Error, Message, Outbox};
    /// # use onceward_backend::sqlx::{self, Sqlite};
    /// # onceward_backend::conformance::block_on(async {
    /// # let outbox = Outbox::<Sqlite>::new(onceward_backend::sqlite::memory().await?);
    /// # outbox.migrate().await?;
    /// let id = outbox
    ///     .transaction(async |mut tx| {
    ///         sqlx::query("create table orders (id text)").execute(&mut *tx).await?;
    ///         let id = outbox.enqueue(&mut tx, &Message::to("orders.confirmed").text("order 7")?).await?;
    ///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(id)
    ///     })
    ///     .await?;
    /// # Ok::<_, Box<dyn std::error::Error + Send + Sync>>(()) }).unwrap();
    /// ```
    pub async fn transaction<T, E, F>(&self, f: impl FnOnce(Tx<D>) -> F) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let (tx, home) = lend(begin(self.store.pool()).await.map_err(Error::from)?);
        let answer = f(tx).await;
        let Some(tx) = home.take() else {
            return Err(answer.err().unwrap_or_else(|| Error::TransactionKept.into()));
        };
        match answer {
            Ok(answer) => {
                commit(tx).await.map_err(Error::from)?;
                self.wake();
                Ok(answer)
            }
            Err(error) => {
                // The error of the closure says more than that of a rollback, which the pool repeats anyway.
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }

    /// Hands the messages that a branch held back to the relay; answers how many. Call it in the transaction that ends the
    /// branch, and [`wake`](Self::wake) after its commit. Harmless when repeated.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn release_held(&self, conn: &mut D::Connection, xid: &str, hold_id: &str) -> Result<u64, Error> {
        self.store.release_held(conn, xid, hold_id).await
    }

    /// Drops the messages that a branch held back; answers how many. Harmless when repeated.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn discard_held(&self, conn: &mut D::Connection, xid: &str, hold_id: &str) -> Result<u64, Error> {
        self.store.discard_held(conn, xid, hold_id).await
    }

    /// The store below, for a [`Relay`](crate::Relay) and for inspection.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    /// The same with what only databases have.
    #[must_use]
    pub fn sql_store(&self) -> &SqlStore<D> {
        &self.store
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<D> {
        self.store.pool()
    }

    /// Whether the database answers and has the tables: for a readiness probe.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn health(&self) -> Result<(), Error> {
        let mut conn = self.pool().acquire().await.map_err(BackendError::from)?;
        let lanes = self.store.sql().sql("select count(*) from mq_shard");
        lanes.fetch_one::<(i64,)>(&mut conn).await?;
        Ok(())
    }
}

impl<D: Db> Clone for Outbox<D> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone() }
    }
}

impl<D: Db> fmt::Debug for Outbox<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("database", &D::DIALECT.name()).finish_non_exhaustive()
    }
}
