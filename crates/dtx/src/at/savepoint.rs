//! Savepoints: a part of a branch that can be taken back alone.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Deref, DerefMut};

use onceward_backend::{Conn, Hold};
use sqlx::Executor;

use super::call::safe;
use super::capture::AtDb;
use super::connection::{AtConnection, State};
use crate::DtxError;
use crate::tc::lock::LockKey;

/// What a branch was when a savepoint began.
#[derive(Debug)]
pub(super) struct Kept {
    depth: usize,
    steps: usize,
    bytes: usize,
    written: Option<String>,
    read: BTreeSet<LockKey>,
    marked: bool,
    state: State,
}

/// A part of a branch, from [`AtConnection::savepoint`] on. Derefs to the connection: `&mut *part` runs statements.
///
/// Dropped without [`commit`](Self::commit), it is taken back before the next statement of the branch.
pub struct AtSavepoint<'a, D: AtDb> {
    conn: &'a mut AtConnection<D>,
    kept: Option<Kept>,
}

impl<D: AtDb> fmt::Debug for AtSavepoint<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AtSavepoint").field(&self.conn).finish()
    }
}

impl<D: AtDb> Deref for AtSavepoint<'_, D> {
    type Target = AtConnection<D>;

    fn deref(&self) -> &AtConnection<D> {
        self.conn
    }
}

impl<D: AtDb> DerefMut for AtSavepoint<'_, D> {
    fn deref_mut(&mut self) -> &mut AtConnection<D> {
        self.conn
    }
}

impl<D: AtDb> Drop for AtSavepoint<'_, D> {
    fn drop(&mut self) {
        // The outermost of several is dropped last, and the way back to it is the way back to all.
        if let Some(kept) = self.kept.take() {
            self.conn.dropped = Some(kept);
        }
    }
}

impl<D: AtDb> Conn<D> for AtSavepoint<'_, D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        &mut *self.conn
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        self.conn.uncaptured()
    }

    fn hold(&mut self) -> Option<Hold> {
        self.conn.hold()
    }
}

impl<D: AtDb> AtSavepoint<'_, D> {
    /// Makes the part one with the branch.
    ///
    /// # Errors
    /// [`DtxError::RollbackOnly`] if a statement of it failed: it is taken back then.
    pub async fn commit(mut self) -> Result<(), DtxError> {
        self.conn.settle().await?;
        self.conn.state.check()?;
        if let Some(kept) = self.kept.take() {
            self.conn.savepoint_ends(&format!("release savepoint onceward_s{}", kept.depth)).await?;
            self.conn.depth = kept.depth;
        }
        Ok(())
    }

    /// Takes the part back, whether or not a statement of it failed. What was before stays, and the branch goes on.
    ///
    /// # Errors
    /// If the database does not confirm it: the whole branch can only roll back then.
    pub async fn rollback(mut self) -> Result<(), DtxError> {
        self.conn.dropped = self.kept.take();
        self.conn.settle().await
    }
}

impl<D: AtDb> AtConnection<D> {
    /// Begins a part that can be taken back alone, also after an error of the database. Parts nest. Each costs a trip to begin and
    /// one to end.
    ///
    /// ```no_run
    /// # async fn example(mut tx: onceward_dtx::AtTransaction<sqlx::Sqlite>) -> Result<(), onceward_dtx::DtxError> {
    /// let mut part = tx.savepoint().await?;
    /// match sqlx::query("insert into voucher values ('x')").execute(&mut *part).await {
    ///     Ok(_) => part.commit().await?,
    ///     Err(_) => part.rollback().await?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DtxError::RollbackOnly`] if a statement failed before.
    pub async fn savepoint(&mut self) -> Result<AtSavepoint<'_, D>, DtxError> {
        self.settle().await?;
        self.state.check()?;
        self.probe().await?;
        let kept = Kept {
            depth: self.depth,
            steps: self.steps.len(),
            bytes: self.bytes,
            written: self.written.clone(),
            read: self.read.clone(),
            marked: self.marked,
            state: self.state,
        };
        self.savepoint_ends(&format!("savepoint onceward_s{}", self.depth)).await?;
        self.depth += 1;
        Ok(AtSavepoint { conn: self, kept: Some(kept) })
    }

    /// Goes back to a savepoint that was dropped.
    pub(super) async fn settle(&mut self) -> Result<(), DtxError> {
        let Some(Kept { depth, steps, bytes, written, read, marked, state }) = self.dropped.take() else {
            return Ok(());
        };
        let back = format!("rollback to savepoint onceward_s{depth}; release savepoint onceward_s{depth}");
        if self.savepoint_ends(&back).await.is_err() {
            // What the driver still had to hear was the end of a statement that was given up.
            self.savepoint_ends(&back).await?;
        }
        self.steps.truncate(steps);
        (self.depth, self.bytes, self.written, self.read, self.state) = (depth, bytes, written, read, state);
        // The mark is taken back as well.
        self.marked = marked;
        Ok(())
    }

    /// Runs a statement on savepoints, after which nothing else is known unless it succeeds.
    async fn savepoint_ends(&mut self, text: &str) -> Result<(), DtxError> {
        let before = self.state;
        self.state.in_flight = true;
        D::executor(&mut self.tx).execute(safe(text.to_owned())).await?;
        self.state = before;
        Ok(())
    }
}
