//! The end of phase one: undo record, registration, local commit, in this order.

use onceward_backend::internal::{commit, mark};

use super::capture::AtDb;
use super::connection::{AtConnection, Role};
use super::image::{Images, encode};
use super::locks::locks;
use super::log;
use crate::DtxError;
use crate::context::Global;
use crate::coordinator::NewBranch;
use crate::tc::lock::LockKey;

/// Why a local transaction was rolled back, and the rows that it asked for in vain.
pub(super) struct Unfinished {
    pub(super) error: DtxError,
    pub(super) wanted: Vec<LockKey>,
}

impl<E: Into<DtxError>> From<E> for Unfinished {
    fn from(error: E) -> Self {
        Self { error: error.into(), wanted: Vec::new() }
    }
}

impl<D: AtDb> AtConnection<D> {
    pub(super) async fn roll_back(self) -> Result<(), DtxError> {
        Ok(self.tx.rollback().await?)
    }

    /// Rolls back and answers why.
    async fn give_up(self, reason: DtxError) -> DtxError {
        match self.roll_back().await {
            Ok(()) => reason,
            Err(unconfirmed) => {
                tracing::warn!(%unconfirmed, "a local rollback was not confirmed; the connection is given up");
                reason
            }
        }
    }

    async fn is_whole(&mut self) -> Result<(), DtxError> {
        self.settle().await?;
        self.state.check()?;
        self.probe().await
    }

    /// Commits the local transaction if its branch is accepted with all its locks, else rolls it back.
    pub(super) async fn finish(mut self, global: Option<&Global>) -> Result<(), Unfinished> {
        // A statement past the capture may have failed or ended the transaction, whose commit would not say so.
        if let Err(error) = self.is_whole().await {
            return Err(self.give_up(error).await.into());
        }
        if matches!(self.role, Role::Branch { hold: Some(_), .. }) && self.at.options().participants.is_empty() {
            let resource = self.at.resource_id().to_owned();
            // Nobody would release it at the commit, and its undo record would go all the same.
            let problem = "a message was held and no participant can release it: see AtOptions::with_participant";
            return Err(self.give_up(DtxError::Resource { resource, problem: problem.to_owned() }).await.into());
        }
        if self.steps.iter().any(|done| done.table.server.deferrable)
            && let Err(error) = D::check_deferred(&mut self.tx).await
        {
            // Refused here, before anybody hears of the branch.
            return Err(self.give_up(error).await.into());
        }
        if self.marked
            && let Err(error) = D::unmark(&mut self.tx).await
        {
            return Err(self.give_up(error).await.into());
        }
        match (&self.role, global) {
            (Role::Local { .. }, _) => self.finish_unregistered().await,
            (Role::Branch { hold: None, .. }, _) if self.steps.is_empty() => self.finish_unregistered().await,
            (Role::Branch { xid, .. }, Some(global)) if global.xid() == xid => self.finish_branch(global).await,
            (Role::Branch { .. }, _) => Err(self.give_up(DtxError::NoTransaction).await.into()),
        }
    }

    /// What leaves nothing to undo: what it read and changed must not be another transaction's.
    async fn finish_unregistered(mut self) -> Result<(), Unfinished> {
        let locks = locks::<D>(self.at.resource_id(), &self.steps, std::mem::take(&mut self.read));
        if locks.is_empty() {
            return Ok(commit(self.tx).await?);
        }
        // The rows are locked in the database until the commit below, so no branch can take their locks in between.
        let xid = match &self.role {
            Role::Branch { xid, .. } => Some(xid.as_str()),
            Role::Local { turn } => turn.as_deref(),
        };
        match self.at.0.coordinator.check_locks(xid, &locks).await {
            Ok(()) => Ok(commit(self.tx).await?),
            Err(error) => Err(Unfinished { error: self.give_up(error).await, wanted: locks }),
        }
    }

    async fn finish_branch(mut self, global: &Global) -> Result<(), Unfinished> {
        let Role::Branch { xid, branch_id, hold } = &self.role else { return Err(DtxError::NoTransaction.into()) };
        let branch = NewBranch {
            xid: xid.clone(),
            branch_id: *branch_id,
            resource_id: self.at.resource_id().to_owned(),
            locks: locks::<D>(self.at.resource_id(), &self.steps, std::mem::take(&mut self.read)),
        };
        let context = log::context(hold.as_deref());
        let coordinator = std::sync::Arc::clone(&self.at.0.coordinator);
        mark("dtx.before_undo");
        if let Err(error) = self.write_undo((&branch.xid, branch.branch_id), &context).await {
            return Err(self.give_up(error).await.into());
        }
        // From here to the answer of the commit, nobody else may take the branch for done or for gone.
        let doubt = global.enter_doubt();
        mark("dtx.before_register");
        match coordinator.register(&branch).await {
            Ok(()) => mark("dtx.registered"),
            Err(refused @ (DtxError::LockConflict { .. } | DtxError::Ended { .. })) => {
                let refused = self.give_up(refused).await;
                doubt.settle();
                return Err(Unfinished { error: refused, wanted: branch.locks });
            }
            Err(unknown) => {
                // It may be registered. Said to have failed only once that is certain; else the doubt stays.
                self.roll_back().await?;
                mark("dtx.before_report");
                coordinator.phase_one_failed(&branch.xid, branch.branch_id).await.ok();
                mark("dtx.reported");
                doubt.settle();
                return Err(unknown.into());
            }
        }
        // An error here may hide a commit that took effect: the doubt stays, so the whole can only roll back, and undo or
        // guard settle which it was.
        commit(self.tx).await?;
        doubt.settle();
        mark("dtx.branch_committed");
        metrics::counter!("onceward_dtx_branches_total").increment(1);
        metrics::counter!("onceward_dtx_undo_bytes_total").increment(self.bytes as u64);
        Ok(())
    }

    /// Writes the undo record, unless the only statement of the branch has.
    async fn write_undo(&mut self, name: (&str, i64), context: &str) -> Result<(), DtxError> {
        let written = self.written.as_deref();
        if written == Some(context) && self.steps.len() == 1 {
            return Ok(());
        }
        let first = written.is_none();
        let steps = std::mem::take(&mut self.steps).into_iter().map(|done| done.step).collect();
        let images = encode(&Images { steps });
        let log = &self.at.0.log;
        if first {
            log.write(&mut self.tx, name, context, &images).await
        } else {
            log.rewrite(&mut self.tx, name, context, &images).await
        }
    }
}
