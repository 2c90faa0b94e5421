//! Who is told how global transactions go.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;

use crate::context::Global;
use crate::tc::state::{GlobalStatus, Reason};

/// Is told how the global transactions that this process begins go on, [`DtxOptions::hooks`](crate::DtxOptions::hooks)
/// one after the other. Every method does nothing unless you write it.
///
/// The caller waits for them, so they should be short; a panic goes on to it. They are told what is known here and now:
/// if the process dies, or the future of the transaction is dropped, some of it is never told. What has to happen once
/// belongs into the transaction: a row, or a held message.
#[async_trait]
pub trait TransactionHook: Debug + Send + Sync + 'static {
    /// It has begun. Runs within the transaction.
    async fn begun(&self, transaction: &Global) {
        let _ = transaction;
    }

    /// It is about to be committed. Runs within the transaction: a branch in it is part of the whole.
    ///
    /// # Errors
    /// A reason against it: the whole is rolled back and answers [`DtxError::Vetoed`](crate::DtxError::Vetoed). Hooks
    /// after this one are not asked.
    async fn before_commit(&self, transaction: &Global) -> Result<(), Box<dyn Error + Send + Sync>> {
        let _ = transaction;
        Ok(())
    }

    /// The decision is commit and stored.
    async fn committed(&self, transaction: &Global) {
        let _ = transaction;
    }

    /// It is about to be rolled back; heard again if the coordinator did not answer and the worker tries it once more.
    async fn before_rollback(&self, transaction: &Global, reason: Reason) {
        let _ = (transaction, reason);
    }

    /// Nothing of it remains.
    async fn rolled_back(&self, transaction: &Global) {
        let _ = transaction;
    }

    /// It did not come to a clean end: `Parked` and `RollingBack` as [`DtxError::Parked`](crate::DtxError::Parked) and
    /// [`DtxError::RollbackInProgress`](crate::DtxError::RollbackInProgress) say, none if the outcome is unknown.
    /// `Committing` or `Committed` for a transaction of another service that this one [joined](crate::Dtx::join): it
    /// was committed although the part done here is in doubt, so somebody has to look.
    async fn alert(&self, transaction: &Global, status: Option<GlobalStatus>) {
        let _ = (transaction, status);
    }
}
