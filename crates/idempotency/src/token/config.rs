//! How tokens live.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::Error;
use crate::key::{MAX_NAME, check};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The life of a bare value, and the least time that an abandoned claim can be taken over.
pub(super) const LONGEST_BARE: Duration = Duration::from_secs(30 * 60);
/// Longest of any duration, so that sums stay far from the limits of every store.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Which of a user's tokens count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenMode {
    /// Every token by itself: pages open in several tabs do not disturb each other.
    #[default]
    PerToken,
    /// Only the newest: issuing one supersedes the user's older ones that are still unspent. A claim that is running is
    /// not touched.
    LatestWins,
}

/// Settings of [`FormTokens`](crate::FormTokens).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TokenConfig {
    /// What the tokens are for; one of another purpose is unknown. At most 64 bytes of visible ASCII. Default `order`.
    pub purpose: String,
    /// The life of a token, fixed when it is issued. Default 30 minutes.
    pub ttl: Duration,
    /// How long a claim is exclusive. Make it longer than the work can take (the time-out of a global transaction), or
    /// [renew](crate::Claim::renew). Default 60 s.
    pub lease: Duration,
    /// How long after its lease an abandoned claim can still be taken over; at least 30 minutes and the life of a token.
    /// Default 24 hours.
    pub tail: Duration,
    /// How long a token that was never spent stays known after its life. Default 30 minutes.
    pub tombstone: Duration,
    /// How long a spent token answers with its result; at least the life of a token. Default 24 hours.
    pub retention: Duration,
    /// Which of a user's tokens count.
    pub mode: TokenMode,
    /// The name of this process, shown where running claims are listed. At most 64 bytes of visible ASCII, or empty.
    pub holder: String,
    /// What stands before the user id in the keys of the literal mode. Default `order:token:`.
    pub bare_prefix: String,
    /// How failed store calls are repeated. Default 3 attempts.
    pub retry: RetryPolicy,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            purpose: "order".to_owned(),
            ttl: 30 * MINUTE,
            lease: MINUTE,
            tail: DAY,
            tombstone: 30 * MINUTE,
            retention: DAY,
            mode: TokenMode::PerToken,
            holder: String::new(),
            bare_prefix: "order:token:".to_owned(),
            retry: RetryPolicy::exponential().with_attempts(3),
        }
    }
}

macro_rules! with {
    ($($with:ident $field:ident: $ty:ty, $what:literal;)*) => {
        $(#[doc = concat!("Sets ", $what, ".")]
        #[must_use]
        pub fn $with(mut self, $field: $ty) -> Self {
            self.$field = $field;
            self
        })*
    };
}

impl TokenConfig {
    with! {
        with_ttl ttl: Duration, "the life of a token";
        with_lease lease: Duration, "how long a claim is exclusive";
        with_tail tail: Duration, "how long an abandoned claim can be taken over";
        with_tombstone tombstone: Duration, "how long an unspent token stays known after its life";
        with_retention retention: Duration, "how long a spent token answers with its result";
        with_mode mode: TokenMode, "which of a user's tokens count";
        with_retry retry: RetryPolicy, "how failed store calls are repeated";
    }

    /// Sets what the tokens are for.
    #[must_use]
    pub fn with_purpose(mut self, purpose: impl Into<String>) -> Self {
        self.purpose = purpose.into();
        self
    }

    /// Sets the name of this process.
    #[must_use]
    pub fn with_holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }

    /// Sets what stands before the user id in the keys of the literal mode.
    #[must_use]
    pub fn with_bare_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.bare_prefix = prefix.into();
        self
    }

    pub(super) fn checked(mut self) -> Result<Self, Error> {
        check("the purpose", &self.purpose, MAX_NAME)?;
        check("the prefix of bare keys", &self.bare_prefix, MAX_NAME)?;
        if !self.holder.is_empty() {
            check("the holder", &self.holder, MAX_NAME)?;
        }
        if self.ttl < Duration::from_millis(1) || self.lease < Duration::from_millis(1) {
            return Err(Error::Config("the life of a token and the lease are at least one millisecond"));
        }
        if [self.ttl, self.lease, self.tail, self.tombstone, self.retention].iter().any(|it| *it > LONGEST) {
            return Err(Error::Config("no duration is longer than a year"));
        }
        self.tail = self.tail.max(self.ttl).max(LONGEST_BARE);
        self.retention = self.retention.max(self.ttl);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_can_be_taken_over_for_at_least_half_an_hour_and_the_life_of_its_token() {
        let short = Duration::from_secs(1);
        let config = TokenConfig::default().with_tail(short).with_retention(short);
        let checked = config.clone().with_ttl(short).checked().unwrap();
        assert_eq!((checked.tail, checked.retention), (LONGEST_BARE, short));
        let checked = config.with_ttl(2 * LONGEST_BARE).checked().unwrap();
        assert_eq!((checked.tail, checked.retention), (2 * LONGEST_BARE, 2 * LONGEST_BARE));
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let good = TokenConfig::default;
        for bad in [
            good().with_purpose("two words"),
            good().with_holder("é"),
            good().with_bare_prefix(""),
            good().with_ttl(Duration::ZERO),
            good().with_lease(Duration::ZERO),
            good().with_retention(Duration::MAX),
        ] {
            assert!(bad.clone().checked().is_err(), "{bad:?}");
        }
    }
}
