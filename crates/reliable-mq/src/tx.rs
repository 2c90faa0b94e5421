//! A transaction that is lent to a closure and comes home when the closure lets go of it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use onceward_backend::{Conn, Db};
use sqlx::{Executor, Transaction};

/// The open transaction that a handler or closure works in. Use it as sqlx's own: `.execute(&mut *tx)`; or hand `&mut tx`
/// to whatever takes a [`Conn`]. It is committed by its lender after the closure succeeded, else rolled back, so it has
/// neither `commit` nor `rollback`.
pub struct Tx<D: Db> {
    // Absent only while it is being dropped.
    tx: Option<Transaction<'static, D>>,
    home: Home<D>,
}

/// Where a lent transaction comes back to.
pub(crate) struct Home<D: Db>(Arc<Mutex<Option<Transaction<'static, D>>>>);

impl<D: Db> Home<D> {
    /// The transaction, if its borrower has let go of it.
    pub(crate) fn take(&self) -> Option<Transaction<'static, D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

pub(crate) fn lend<D: Db>(tx: Transaction<'static, D>) -> (Tx<D>, Home<D>) {
    let home = Arc::new(Mutex::new(None));
    (Tx { tx: Some(tx), home: Home(Arc::clone(&home)) }, Home(home))
}

impl<D: Db> Drop for Tx<D> {
    fn drop(&mut self) {
        *self.home.0.lock().unwrap_or_else(PoisonError::into_inner) = self.tx.take();
    }
}

impl<D: Db> fmt::Debug for Tx<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

impl<D: Db> Deref for Tx<D> {
    type Target = D::Connection;

    #[expect(clippy::expect_used, reason = "the field is taken in drop only")]
    fn deref(&self) -> &D::Connection {
        self.tx.as_deref().expect("a transaction is there until it is dropped")
    }
}

impl<D: Db> DerefMut for Tx<D> {
    #[expect(clippy::expect_used, reason = "the field is taken in drop only")]
    fn deref_mut(&mut self) -> &mut D::Connection {
        self.tx.as_deref_mut().expect("a transaction is there until it is dropped")
    }
}

impl<D: Db> Conn<D> for Tx<D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        D::executor(&mut *self)
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        &mut *self
    }
}
