//! What spending answers, and the guard of an accepted token.

use std::fmt;
use std::time::Duration;

use crate::{ClaimRef, Error, FormTokens, TokenId};

/// The answer of [`FormTokens::spend`].
#[derive(Debug)]
pub enum Spend {
    /// Yours: do the work, then complete or release the claim.
    Accepted(Claim),
    /// It was spent before. Told whatever the fingerprint is.
    AlreadySpent {
        /// What the completed attempt left.
        result: Vec<u8>,
    },
    /// Another attempt works on it. Told whatever the fingerprint is.
    InFlight {
        /// When its lease ends unless it is renewed; it may complete much sooner.
        retry_after: Duration,
    },
    /// A newer token of this user counts ([`TokenMode::LatestWins`](crate::TokenMode::LatestWins)).
    Superseded,
    /// Its life is over and it was not spent.
    Expired,
    /// Forged, never issued, forgotten, or another user's; which one is not said.
    Unknown,
    /// What the page showed is not what the caller has now.
    Mismatch,
}

/// A token that is yours for the length of a lease.
///
/// End it with [`complete`](Self::complete) or [`release`](Self::release). A claim that is dropped stays claimed until its
/// lease ends, then the next spend of the same token takes it over: nobody but you knows whether the work was done, so
/// dropping must not free it. Never release after an unknown outcome of the work.
#[must_use = "a claim that is dropped blocks its token until the lease ends"]
pub struct Claim {
    tokens: FormTokens,
    reference: ClaimRef,
    attempt: u32,
    takeover: bool,
    ended: bool,
}

impl Claim {
    pub(super) const fn new(tokens: FormTokens, reference: ClaimRef, attempt: u32, takeover: bool) -> Self {
        Self { tokens, reference, attempt, takeover, ended: false }
    }

    /// The token's id.
    pub const fn id(&self) -> TokenId {
        self.reference.id()
    }

    /// Counts every acceptance of this token, so a later attempt has the larger number: a fence for whatever can compare
    /// it.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether an earlier attempt vanished while it held the claim. Its work may be done, half done or still running:
    /// look before you act.
    pub const fn is_takeover(&self) -> bool {
        self.takeover
    }

    /// An idempotency key for a service downstream, the same for every attempt on this token: a payment that an earlier
    /// attempt began is then resumed, not repeated.
    pub fn downstream_key(&self, name: &str) -> String {
        format!("{}-{}-{name}", self.reference.purpose(), self.reference.id())
    }

    /// Names this claim, for [`FormTokens::settle`] after `complete` or `release` failed.
    pub const fn reference(&self) -> &ClaimRef {
        &self.reference
    }

    /// Starts the lease anew.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another attempt took over: stop. [`Error::Backend`].
    pub async fn renew(&self) -> Result<(), Error> {
        held(self.tokens.renew(&self.reference).await?)
    }

    /// Ends the claim as spent. The result, at most [`MAX_RESULT`](crate::MAX_RESULT) bytes, answers every later spend of
    /// this token while it is retained.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another attempt took over: what this one did stands beside what that one does.
    /// [`Error::TooLarge`], [`Error::Backend`].
    pub async fn complete(mut self, result: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.ended = true;
        held(self.tokens.complete(&self.reference, &result.into()).await?)
    }

    /// Gives the token back unspent, with what is left of its life: the work was refused and nothing was changed.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another attempt took over. [`Error::Backend`].
    pub async fn release(mut self) -> Result<(), Error> {
        self.ended = true;
        held(self.tokens.release(&self.reference).await?)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.ended {
            metrics::counter!("onceward_idempotency_claims_dropped_total", "of" => "token").increment(1);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("id", &self.reference.id())
            .field("attempt", &self.attempt)
            .field("takeover", &self.takeover)
            .finish_non_exhaustive()
    }
}

/// An answer of the store about a claim, as a result.
pub(crate) fn held(held: bool) -> Result<(), Error> {
    if held {
        return Ok(());
    }
    metrics::counter!("onceward_idempotency_leases_lost_total").increment(1);
    Err(Error::LeaseLost)
}
