//! Branches: a closure or a guard around a captured local transaction.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onceward_backend::internal::{begin, begin_by};
use onceward_backend::{Conn, Hold};
use sqlx::Executor;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::capture::AtDb;
use super::connection::{AtConnection, Role, State};
use super::finish::Unfinished;
use super::{At, ahead};
use crate::DtxError;
use crate::context::{self, Global};

/// The local transaction of a branch. Derefs to [`AtConnection`], the executor, like sqlx's own `Transaction` does to its
/// connection: `&mut *tx` runs statements, `&mut tx` is a [`Conn`].
///
/// Dropped without [`commit`](Self::commit) it is rolled back; one that was lent to a closure goes back instead.
pub struct AtTransaction<D: AtDb> {
    conn: Option<AtConnection<D>>,
    home: Option<Home<D>>,
}

type Home<D> = Arc<Mutex<Option<AtConnection<D>>>>;

impl<D: AtDb> fmt::Debug for AtTransaction<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AtTransaction").field(&self.conn).finish()
    }
}

impl<D: AtDb> Deref for AtTransaction<D> {
    type Target = AtConnection<D>;

    #[expect(clippy::expect_used, reason = "only `commit`, `rollback` and `drop` take it, and they consume")]
    fn deref(&self) -> &AtConnection<D> {
        self.conn.as_ref().expect("a transaction has its connection until it ends")
    }
}

impl<D: AtDb> DerefMut for AtTransaction<D> {
    #[expect(clippy::expect_used, reason = "only `commit`, `rollback` and `drop` take it, and they consume")]
    fn deref_mut(&mut self) -> &mut AtConnection<D> {
        self.conn.as_mut().expect("a transaction has its connection until it ends")
    }
}

impl<D: AtDb> Drop for AtTransaction<D> {
    fn drop(&mut self) {
        if let (Some(conn), Some(home)) = (self.conn.take(), self.home.take()) {
            *home.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
        }
    }
}

impl<D: AtDb> Conn<D> for AtTransaction<D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        &mut **self
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        (**self).uncaptured()
    }

    fn hold(&mut self) -> Option<Hold> {
        (**self).hold()
    }
}

impl<D: AtDb> AtTransaction<D> {
    fn lend(conn: AtConnection<D>) -> (Self, Home<D>) {
        let home = Home::default();
        (Self { conn: Some(conn), home: Some(Arc::clone(&home)) }, home)
    }

    /// Registers the branch with its locks and commits it locally.
    ///
    /// # Errors
    /// [`DtxError::LockConflict`] at once if a row is locked: the branch is rolled back then. [`DtxError::TransactionKept`]
    /// if it was lent to a closure, whose caller ends it.
    pub async fn commit(mut self) -> Result<(), DtxError> {
        if self.home.is_some() {
            return Err(DtxError::TransactionKept);
        }
        match self.conn.take() {
            Some(conn) => conn.finish(context::current().as_ref()).await.map_err(|unfinished| unfinished.error),
            None => Err(DtxError::TransactionKept),
        }
    }

    /// Rolls the branch back; nothing of it was registered.
    ///
    /// # Errors
    /// If the database does not confirm it. [`DtxError::TransactionKept`] if it was lent to a closure.
    pub async fn rollback(mut self) -> Result<(), DtxError> {
        match (self.conn.take(), &self.home) {
            (Some(conn), None) => conn.roll_back().await,
            (conn, _) => {
                self.conn = conn;
                Err(DtxError::TransactionKept)
            }
        }
    }
}

impl<D: AtDb> At<D> {
    /// Runs `work` in a branch of the current global transaction: captured, registered with its row locks, then committed
    /// locally.
    ///
    /// If a row is locked by another global transaction, the local transaction is rolled back, this waits its turn with
    /// nothing open, and `work` runs **again**, reads included. Write it as `async |mut tx| { .. }` without `move`, so that it can.
    ///
    /// # Errors
    /// The error of `work`, after the local rollback. [`DtxError::NoTransaction`] outside of
    /// [`Dtx::run`](crate::Dtx::run); [`DtxError::LockConflict`] if a row stays locked past
    /// [`AtOptions::lock_timeout`](crate::AtOptions::lock_timeout) or the deadline, or at once if its holder rolls back;
    /// [`DtxError::Deadlock`] if the transaction waits in a circle and began last; [`DtxError::Ended`] if the global transaction is decided already.
    ///
    /// # Cancel safety
    /// Dropped before its end, the branch is rolled back, or the global transaction can only roll back.
    pub async fn branch<T, E, F>(&self, work: impl Fn(AtTransaction<D>) -> F) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let global = context::current().ok_or(DtxError::NoTransaction)?;
        let span = tracing::info_span!("onceward.dtx.branch", resource = self.resource_id(), xid = global.xid());
        self.repeat(Some(&global), work).instrument(span).await
    }

    /// Runs `work` in a transaction of its own, outside of any global one, that does not overwrite what a global
    /// transaction may still take back: before its commit it checks the locks of all rows it changed.
    ///
    /// # Errors
    /// As [`At::branch`].
    pub async fn local<T, E, F>(&self, work: impl Fn(AtTransaction<D>) -> F) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let span = tracing::info_span!("onceward.dtx.local", resource = self.resource_id());
        self.repeat(None, work).instrument(span).await
    }

    /// Opens a branch of the current global transaction that you end yourself.
    ///
    /// # Errors
    /// [`DtxError::NoTransaction`] outside of [`Dtx::run`](crate::Dtx::run).
    pub async fn begin(&self) -> Result<AtTransaction<D>, DtxError> {
        let global = context::current().ok_or(DtxError::NoTransaction)?;
        Ok(AtTransaction { conn: Some(self.open(Role::branch(&global)).await?), home: None })
    }

    async fn repeat<T, E, F>(&self, global: Option<&Global>, work: impl Fn(AtTransaction<D>) -> F) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let mut turn = None;
        let answer = self.repeat_in_turn(global, &mut turn, work).await;
        if let Some(turn) = turn
            && let Err(error) = self.0.coordinator.commit(&turn).await
        {
            tracing::warn!(%error, "the rows that a local transaction waited for stay locked until its time is over");
        }
        answer
    }

    /// `turn` is the transaction without branches that stands in the queue for a local one.
    async fn repeat_in_turn<T, E, F>(
        &self,
        global: Option<&Global>,
        turn: &mut Option<String>,
        work: impl Fn(AtTransaction<D>) -> F,
    ) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let mut until = Instant::now() + self.options().lock_timeout;
        if let Some(global) = global {
            until = until.min(global.deadline());
        }
        loop {
            let role = global.map_or_else(|| Role::Local { turn: turn.clone() }, Role::branch);
            let (tx, home) = AtTransaction::lend(self.open(role).await?);
            let running = ahead::open(work(tx));
            let answer = running.await;
            let returned = home.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(conn) = returned else { return Err(DtxError::TransactionKept.into()) };
            let value = match answer {
                Ok(value) => value,
                Err(error) => {
                    if let Err(unconfirmed) = conn.roll_back().await {
                        tracing::warn!(%unconfirmed, "a local rollback was not confirmed; the connection is given up");
                    }
                    return Err(error);
                }
            };
            let Unfinished { error, wanted } = match conn.finish(global).await {
                Ok(()) => return Ok(value),
                Err(unfinished) => unfinished,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(error, DtxError::LockConflict { rolling_back: false, .. }) {
                return Err(error.into());
            }
            let coordinator = &self.0.coordinator;
            let xid = match (global, &mut *turn) {
                (Some(global), _) => global.xid(),
                (None, Some(turn)) => turn,
                (None, none) => none.insert(coordinator.begin("local", left).await?),
            };
            if !coordinator.wait_for_locks(xid, &wanted, left).await? {
                return Err(error.into());
            }
        }
    }

    async fn open(&self, role: Role) -> Result<AtConnection<D>, DtxError> {
        let marked = D::MARKED.filter(|_| self.0.watched.load(Ordering::Relaxed));
        let mut tx = match marked {
            Some(text) => begin_by(&self.0.pool, text).await?,
            None => begin(&self.0.pool).await?,
        };
        let schema = D::schema(&mut tx).await?;
        self.plans().schema(schema);
        Ok(AtConnection {
            tx,
            at: self.clone(),
            role,
            steps: Vec::new(),
            bytes: 0,
            written: None,
            read: BTreeSet::new(),
            marked: marked.is_some(),
            state: State::default(),
            depth: 0,
            dropped: None,
        })
    }
}

impl Role {
    fn branch(global: &Global) -> Self {
        Self::Branch { xid: global.xid().to_owned(), branch_id: branch_id(), hold: None }
    }
}

/// A positive id by time and chance; together with the xid it is unique.
fn branch_id() -> i64 {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
    let chance = i64::from(Uuid::new_v4().as_fields().0 & 0x3f_ffff);
    (i64::try_from(millis & 0x1ff_ffff_ffff).unwrap_or_default() << 22) | chance
}
