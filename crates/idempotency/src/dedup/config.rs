//! How contents are known and remembered.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::key::{MAX_NAME, check};
use crate::{DigestKind, Error};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of [`Dedup`](crate::Dedup).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DedupConfig {
    /// The digest that names a content. Default MD5.
    pub digest: DigestKind,
    /// Keeps a second digest beside the first: a content that only shares the first is a collision, gets a slot of its
    /// own, is processed, and is counted. Default off.
    pub verified: bool,
    /// How long a claim is exclusive; longer than the processing takes, or renewed. Default 60 s.
    pub lease: Duration,
    /// How long after its lease an abandoned claim is still known as one that was begun. Default 24 hours.
    pub tail: Duration,
    /// How long a processed content is remembered. Default 24 hours.
    pub retention: Duration,
    /// The name of this process, kept in its claims. At most 64 bytes of visible ASCII, or empty.
    pub holder: String,
    /// How failed store calls are repeated. Default 3 attempts.
    pub retry: RetryPolicy,
}

impl Default for DedupConfig {
    fn default() -> Self {
        Self {
            digest: DigestKind::Md5,
            verified: false,
            lease: Duration::from_secs(60),
            tail: DAY,
            retention: DAY,
            holder: String::new(),
            retry: RetryPolicy::exponential().with_attempts(3),
        }
    }
}

impl DedupConfig {
    /// Sets the digest that names a content.
    #[must_use]
    pub const fn with_digest(mut self, digest: DigestKind) -> Self {
        self.digest = digest;
        self
    }

    /// Sets whether a second digest is kept.
    #[must_use]
    pub const fn with_verified(mut self, verified: bool) -> Self {
        self.verified = verified;
        self
    }

    /// Sets how long a claim is exclusive.
    #[must_use]
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long an abandoned claim is known as one that was begun.
    #[must_use]
    pub const fn with_tail(mut self, tail: Duration) -> Self {
        self.tail = tail;
        self
    }

    /// Sets how long a processed content is remembered.
    #[must_use]
    pub const fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Sets the name of this process.
    #[must_use]
    pub fn with_holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }

    /// Sets how failed store calls are repeated.
    #[must_use]
    pub const fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    pub(super) fn checked(self) -> Result<Self, Error> {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
        if !self.holder.is_empty() {
            check("the holder", &self.holder, MAX_NAME)?;
        }
        if self.lease < Duration::from_millis(1) || self.retention < Duration::from_millis(1) {
            return Err(Error::Config("lease and retention are at least one millisecond"));
        }
        if self.lease.max(self.tail).max(self.retention) > YEAR {
            return Err(Error::Config("no duration is longer than a year"));
        }
        Ok(self)
    }
}
