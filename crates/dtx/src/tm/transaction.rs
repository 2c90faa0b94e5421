//! A global transaction in the hands of its owner, who decides it, or else the worker does.

use onceward_backend::internal::mark;
use tokio::time::Instant;

use super::work::Undecided;
use super::{Dtx, Options};
use crate::DtxError;
use crate::context::{self, Global};
use crate::tc::state::{GlobalStatus, Reason};

/// An open global transaction that you decide yourself: [`Dtx::begin`].
///
/// Dropped undecided it goes to [`Dtx::work`], which rolls it back.
#[derive(Debug)]
#[must_use = "dropped, it is rolled back"]
pub struct GlobalTransaction {
    dtx: Dtx,
    global: Global,
    open: bool,
}

impl Dtx {
    /// Opens a global transaction for you to decide, also inside another one, with which it has nothing to do.
    /// [`Dtx::run`] is the same as a closure and cannot be forgotten.
    ///
    /// # Errors
    /// If the coordinator fails.
    ///
    /// # Cancel safety
    /// Dropped before it answers, the transaction may stay open without a branch until its deadline.
    pub async fn begin(&self, options: Options) -> Result<GlobalTransaction, DtxError> {
        let deadline = Instant::now() + options.timeout;
        let xid = self.0.coordinator.begin(&options.name, options.timeout).await?;
        mark("dtx.begun");
        let global = Global::new(xid, options.name, deadline);
        let transaction = GlobalTransaction { dtx: self.clone(), global, open: true };
        for hook in &self.0.options.hooks {
            transaction.scope(hook.begun(&transaction.global)).await;
        }
        Ok(transaction)
    }
}

impl GlobalTransaction {
    /// The id of the transaction.
    pub fn xid(&self) -> &str {
        self.global.xid()
    }

    /// Its handle, as [`Dtx::run`] gives it to its closure.
    pub const fn global(&self) -> &Global {
        &self.global
    }

    /// Runs `work` in the transaction: branches in it are part of the whole. As often as you like; what it answers
    /// decides nothing.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        context::scope(self.global.clone(), work)
    }

    /// Commits, unless something says that it must not.
    ///
    /// # Errors
    /// [`DtxError::RolledBack`] if it could only roll back: past its deadline, a nested run failed, a local commit is
    /// in doubt, or work of it still runs in another task. [`DtxError::Vetoed`] if a hook refused. Then everything is
    /// undone, else [`DtxError::RollbackInProgress`], [`DtxError::Parked`], or [`DtxError::OutcomeUnknown`].
    ///
    /// # Cancel safety
    /// Dropped before the decision it is rolled back by the worker; a decision that is stored stands.
    pub async fn commit(mut self) -> Result<(), DtxError> {
        if self.global.doom().is_none()
            && let Err(source) = self.before_commit().await
        {
            self.undo(Reason::Failed).await?;
            return Err(DtxError::Vetoed { xid: self.xid().to_owned(), source });
        }
        self.global.close();
        if let Some(reason) = self.global.doom() {
            return self.undone(reason).await;
        }
        mark("dtx.before_decision");
        let status = match self.dtx.0.coordinator.commit(self.xid()).await {
            Ok(status) => status,
            Err(error) => {
                // It is handed to the worker: if the decision was not stored, it becomes a rollback.
                tracing::warn!(xid = self.xid(), %error, "the commit decision was not answered");
                return Err(self.dtx.unfinished(&self.global, None).await);
            }
        };
        if matches!(status, GlobalStatus::Committing | GlobalStatus::Committed) {
            self.open = false;
            self.dtx.tell_end(&self.global, status).await;
            return Ok(());
        }
        // Decided before us, by the deadline as a rule. The answer waits for the undo like any other rollback's.
        let reason = self.dtx.0.coordinator.reason(self.xid()).await.ok().flatten().unwrap_or(Reason::Timeout);
        self.undone(reason).await
    }

    /// Rolls back. `Ok` once nothing of it remains.
    ///
    /// # Errors
    /// [`DtxError::RollbackInProgress`] or [`DtxError::Parked`] if not every branch could be undone.
    ///
    /// # Cancel safety
    /// Dropped, it is rolled back by the worker.
    pub async fn rollback(mut self) -> Result<(), DtxError> {
        self.undo(Reason::Failed).await
    }

    async fn before_commit(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for hook in &self.dtx.0.options.hooks {
            self.scope(hook.before_commit(&self.global)).await?;
        }
        Ok(())
    }

    /// Rolls back what should have been committed.
    async fn undone(&mut self, reason: Reason) -> Result<(), DtxError> {
        self.undo(reason).await?;
        Err(DtxError::RolledBack { xid: self.xid().to_owned(), reason })
    }

    async fn undo(&mut self, reason: Reason) -> Result<(), DtxError> {
        self.global.close();
        self.dtx.tell_rollback(&self.global, reason).await;
        match self.dtx.0.coordinator.rollback(self.xid(), reason).await {
            Ok(GlobalStatus::RolledBack) => {
                self.open = false;
                self.dtx.tell_end(&self.global, GlobalStatus::RolledBack).await;
                Ok(())
            }
            Ok(status) => {
                self.open = false;
                Err(self.dtx.unfinished(&self.global, Some(status)).await)
            }
            Err(error) => {
                tracing::warn!(xid = self.xid(), %error, "the rollback was not answered");
                Err(self.dtx.unfinished(&self.global, Some(GlobalStatus::RollingBack)).await)
            }
        }
    }
}

impl Drop for GlobalTransaction {
    fn drop(&mut self) {
        if self.open {
            self.dtx.hand_over(Undecided { global: self.global.clone(), reason: Reason::Dropped, joined: false });
        }
    }
}

impl Dtx {
    pub(super) async fn tell_rollback(&self, global: &Global, reason: Reason) {
        for hook in &self.0.options.hooks {
            hook.before_rollback(global, reason).await;
        }
    }

    pub(super) async fn tell_end(&self, global: &Global, status: GlobalStatus) {
        for hook in &self.0.options.hooks {
            match status {
                GlobalStatus::Committing | GlobalStatus::Committed => hook.committed(global).await,
                GlobalStatus::RolledBack => hook.rolled_back(global).await,
                other => hook.alert(global, Some(other)).await,
            }
        }
    }

    /// What to answer of a transaction that did not come to a clean end, once the hooks have heard of it.
    pub(super) async fn unfinished(&self, global: &Global, status: Option<GlobalStatus>) -> DtxError {
        let xid = global.xid().to_owned();
        let (status, error) = match status {
            Some(GlobalStatus::Parked) => (status, DtxError::Parked { xid }),
            Some(GlobalStatus::RollingBack | GlobalStatus::RolledBack) => {
                (Some(GlobalStatus::RollingBack), DtxError::RollbackInProgress { xid })
            }
            _ => (None, DtxError::OutcomeUnknown { xid }),
        };
        self.alert(global, status).await;
        error
    }

    pub(super) async fn alert(&self, global: &Global, status: Option<GlobalStatus>) {
        for hook in &self.0.options.hooks {
            hook.alert(global, status).await;
        }
    }
}
