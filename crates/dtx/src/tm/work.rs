//! The background work of this process: transactions that nobody decided, and the sweeps.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onceward_backend::internal::{Progress, work};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Dtx;
use crate::DtxError;
use crate::context::Global;
use crate::tc::state::Reason;

/// How often guards and undo records are looked through.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// An undo record that is older should have had its second phase.
const BEHIND: Duration = Duration::from_secs(10 * 60);

impl Dtx {
    /// The background work of this process until `shutdown`: second phases, time-outs, dropped transactions, old
    /// guards, undo records that stayed behind. A step in flight is finished before it returns.
    pub async fn work(&self, shutdown: CancellationToken) {
        let swept = Mutex::new(None::<Instant>);
        tokio::join!(
            self.0.coordinator.run(shutdown.clone()),
            work("dtx-dropped", SWEEP, &self.0.wake, &shutdown, || self.step(&swept)),
        );
    }

    async fn step(&self, swept: &Mutex<Option<Instant>>) -> Result<Progress, DtxError> {
        while let Some(undecided) = self.next_dropped() {
            let Undecided { global, reason, joined } = &undecided;
            if !joined {
                self.tell_rollback(global, *reason).await;
            }
            // It stays in the list until it is answered: whoever calls `work` may drop it.
            let status = match self.0.coordinator.rollback(global.xid(), *reason).await {
                Ok(status) => Some(status),
                Err(DtxError::Ended { status, .. }) => status,
                Err(error) => return Err(error),
            };
            self.dropped().retain(|other| other.joined != *joined || other.global.xid() != global.xid());
            match status {
                Some(status) if *joined => self.check_joined(global, status).await,
                Some(status) => self.tell_end(global, status).await,
                None => {}
            }
        }
        let last = *swept.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= SWEEP) {
            for resource in self.0.rm.all() {
                if let Err(error) = resource.sweep(self.0.options.guard_retention).await {
                    tracing::warn!(resource = resource.id(), %error, "old guards stay for the next time");
                }
            }
            self.settle_left_behind(BEHIND).await?;
            *swept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(Progress::Idle)
    }

    pub(super) fn hand_over(&self, undecided: Undecided) {
        self.dropped().push(undecided);
        self.0.wake.notify_one();
    }

    fn dropped(&self) -> MutexGuard<'_, Vec<Undecided>> {
        self.0.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_dropped(&self) -> Option<Undecided> {
        self.dropped().last().cloned()
    }
}

/// A transaction that nobody has decided, or one of another service that must not be committed, for the worker to roll
/// back.
#[derive(Clone, Debug)]
pub(super) struct Undecided {
    pub(super) global: Global,
    pub(super) reason: Reason,
    /// True if another service has begun it, and hears of its end.
    pub(super) joined: bool,
}
