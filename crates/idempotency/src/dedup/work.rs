//! What asking for the first time answers, and the guard of a content.

use std::fmt;
use std::time::Duration;

use crate::repeat;
use crate::token::held;
use crate::{ContentClaim, Dedup, Error};

/// The answer of [`Dedup::first_time`].
#[derive(Debug)]
pub enum FirstTime {
    /// Yours: process it, then complete or release the work.
    First(Work),
    /// It was processed.
    Done,
    /// Another attempt processes it.
    InFlight {
        /// When its lease ends unless it is renewed.
        retry_after: Duration,
    },
}

/// The answer of [`Dedup::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Never seen while marks are retained; it is marked now.
    New {
        /// Another content with the same digest was seen ([`verified`](crate::DedupConfig::verified) only).
        collided: bool,
    },
    /// Marked before, or being processed.
    Seen,
}

/// A content that is yours to process for the length of a lease.
///
/// End it with [`complete`](Self::complete) or [`release`](Self::release); if it is dropped, the content is handed out
/// again after the lease.
#[must_use = "work that is dropped blocks its content until the lease ends"]
pub struct Work {
    dedup: Dedup,
    claim: ContentClaim,
    attempt: u32,
    takeover: bool,
    ended: bool,
}

impl Work {
    pub(super) const fn new(dedup: Dedup, claim: ContentClaim, attempt: u32, takeover: bool) -> Self {
        Self { dedup, claim, attempt, takeover, ended: false }
    }

    /// Counts the claims of this content since it was last released or forgotten.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether an earlier attempt vanished: the content may have been processed, wholly or in part.
    pub const fn is_takeover(&self) -> bool {
        self.takeover
    }

    /// Whether another content with the same digest is there.
    pub const fn collided(&self) -> bool {
        self.claim.collided
    }

    /// Starts the lease anew.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another attempt took over: stop. [`Error::Backend`].
    pub async fn renew(&self) -> Result<(), Error> {
        let Dedup { store, config, .. } = &self.dedup;
        held(repeat::owned(&config.retry, || store.renew(&self.claim, config.lease)).await?)
    }

    /// The content is processed; it counts as done from now on.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another attempt took over. [`Error::Backend`].
    pub async fn complete(mut self) -> Result<(), Error> {
        self.ended = true;
        let Dedup { store, config, .. } = &self.dedup;
        held(repeat::owned(&config.retry, || store.complete(&self.claim, config.retention)).await?)
    }

    /// The content is not processed and nothing was changed: the next time counts as the first.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another attempt took over. [`Error::Backend`].
    pub async fn release(mut self) -> Result<(), Error> {
        self.ended = true;
        let Dedup { store, config, .. } = &self.dedup;
        held(repeat::owned(&config.retry, || store.release(&self.claim)).await?)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.ended {
            metrics::counter!("onceward_idempotency_claims_dropped_total", "of" => "content").increment(1);
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("attempt", &self.attempt).field("takeover", &self.takeover).finish_non_exhaustive()
    }
}
