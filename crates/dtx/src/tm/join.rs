//! A part in the global transaction of another service.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::Dtx;
use super::work::Undecided;
use crate::DtxError;
use crate::context::{self, Global};
use crate::remote::Remote;
use crate::tc::state::{GlobalStatus, Reason};

/// How long a transaction is taken to remain if nobody says.
const REMAINING: Duration = Duration::from_secs(60);

impl Dtx {
    /// Runs `work` as a part of a global transaction that another service has begun and decides: branches register
    /// under its xid, at the coordinator of this `Dtx`, which has to be the same. An open transaction of this task is put
    /// aside meanwhile.
    ///
    /// The other service hears only what you answer it. So this tells the coordinator to roll the whole back if the
    /// part must not be committed: a local commit is in doubt, a nested [`run`](Dtx::run) failed, work still runs in
    /// another task, or this future is dropped half way. An error of `work` by itself does not: the other service may
    /// go on without this part, of which branches that had ended stay in the whole. Where that is wrong, let `work` be
    /// a [`run`](Dtx::run).
    ///
    /// # Errors
    /// The error of `work`. After an `Ok` of it, [`DtxError::RolledBack`], [`DtxError::RollbackInProgress`] or
    /// [`DtxError::Parked`] if the whole is rolled back for this part; [`DtxError::Ended`] if the other service has
    /// committed although this part is in doubt, which it never should before it has the answer: hooks are
    /// [alerted](crate::TransactionHook::alert).
    ///
    /// # Cancel safety
    /// A dropped future, or a panic in `work`, leaves it to [`Dtx::work`] to have the whole rolled back.
    pub async fn join<T, E, F>(&self, remote: Remote, work: impl FnOnce(Global) -> F) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let part = Joined::new(self, remote);
        let global = part.global.clone();
        let answer = part.scope(Box::pin(async move { work(global).await })).await;
        match (answer, part.leave().await) {
            (Ok(value), left) => left.map(|()| value).map_err(E::from),
            (failed, _) => failed,
        }
    }

    /// What became of a transaction that a part of this process had rolled back.
    pub(super) async fn check_joined(&self, global: &Global, status: GlobalStatus) {
        if matches!(status, GlobalStatus::Committing | GlobalStatus::Committed) {
            tracing::error!(
                xid = global.xid(),
                "committed by the service that began it, with a part that is in doubt here"
            );
            self.alert(global, Some(status)).await;
        }
    }
}

/// A part that has not ended. Dropped, the whole is rolled back by the worker.
#[derive(Debug)]
#[must_use]
pub(crate) struct Joined {
    dtx: Dtx,
    global: Global,
    open: bool,
}

impl Joined {
    pub(crate) fn new(dtx: &Dtx, remote: Remote) -> Self {
        let deadline = Instant::now() + remote.remaining().unwrap_or(REMAINING);
        metrics::counter!("onceward_dtx_joined_total").increment(1);
        Self { dtx: dtx.clone(), global: Global::new(remote.into_xid(), String::new(), deadline), open: true }
    }

    pub(crate) fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        let span = tracing::info_span!("onceward.dtx.join", xid = self.global.xid());
        context::scope(self.global.clone(), work).instrument(span)
    }

    /// Ends the part. `Ok` if the whole may be committed as far as this part knows.
    pub(crate) async fn leave(mut self) -> Result<(), DtxError> {
        self.global.close();
        let Some(reason) = self.global.doom() else {
            self.open = false;
            return Ok(());
        };
        let xid = self.global.xid().to_owned();
        match self.dtx.0.coordinator.rollback(&xid, reason).await {
            Ok(status) => {
                self.open = false;
                self.dtx.check_joined(&self.global, status).await;
                Err(match status {
                    GlobalStatus::RolledBack => DtxError::RolledBack { xid, reason },
                    GlobalStatus::Parked => DtxError::Parked { xid },
                    GlobalStatus::Active | GlobalStatus::RollingBack => DtxError::RollbackInProgress { xid },
                    status => DtxError::Ended { xid, status: Some(status) },
                })
            }
            Err(ended @ DtxError::Ended { .. }) => {
                self.open = false;
                Err(ended)
            }
            Err(error) => {
                // The worker goes on with it.
                tracing::warn!(xid, %error, "the rollback was not answered");
                Err(DtxError::RollbackInProgress { xid })
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if self.open {
            let reason = self.global.doom().unwrap_or(Reason::Dropped);
            self.dtx.hand_over(Undecided { global: self.global.clone(), reason, joined: true });
        }
    }
}
