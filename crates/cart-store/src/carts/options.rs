//! What a shop may set.

use std::time::Duration;

use onceward_backend::RetryPolicy;

use crate::types::{Limits, MergeTtl};

/// Options of [`Carts`](super::Carts).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CartOptions {
    /// What a cart may hold.
    pub limits: Limits,
    /// How long a guest's cart lives after its last change; for ever if none. 30 days unless set.
    pub guest_ttl: Option<Duration>,
    /// How long a member's cart lives after its last change; for ever if none, which is the default.
    pub member_ttl: Option<Duration>,
    /// How long an order or a merge is remembered, so that it has its effect once. At least as long as a message about the
    /// order may be delivered again. 30 days unless set.
    pub mark_ttl: Duration,
    /// How long a guest's cart stays after its merge began.
    pub merge_ttl: MergeTtl,
    /// How old a merge must be before the sweeper finishes it. 60 seconds unless set.
    pub finish_after: Duration,
    /// How old a finished merge must be before the sweeper looks whether the member's store still knows it. 10 minutes
    /// unless set.
    pub recheck_after: Duration,
    /// How often and how soon calls are repeated.
    pub retry: RetryPolicy,
}

impl Default for CartOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            guest_ttl: Some(Duration::from_hours(30 * 24)),
            member_ttl: None,
            mark_ttl: Duration::from_hours(30 * 24),
            merge_ttl: MergeTtl::default(),
            finish_after: Duration::from_mins(1),
            recheck_after: Duration::from_mins(10),
            retry: RetryPolicy::exponential(),
        }
    }
}

impl CartOptions {
    /// Sets what a cart may hold.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long a guest's cart lives after its last change.
    #[must_use]
    pub const fn with_guest_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.guest_ttl = ttl;
        self
    }

    /// Sets how long a member's cart lives after its last change.
    #[must_use]
    pub const fn with_member_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.member_ttl = ttl;
        self
    }

    /// Sets how long an order or a merge is remembered.
    #[must_use]
    pub const fn with_mark_ttl(mut self, ttl: Duration) -> Self {
        self.mark_ttl = ttl;
        self
    }

    /// Sets how long a guest's cart stays after its merge began.
    #[must_use]
    pub const fn with_merge_ttl(mut self, ttl: MergeTtl) -> Self {
        self.merge_ttl = ttl;
        self
    }

    /// Sets how old a merge must be before the sweeper finishes it.
    #[must_use]
    pub const fn with_finish_after(mut self, age: Duration) -> Self {
        self.finish_after = age;
        self
    }

    /// Sets how old a finished merge must be before the sweeper looks at it again.
    #[must_use]
    pub const fn with_recheck_after(mut self, age: Duration) -> Self {
        self.recheck_after = age;
        self
    }

    /// Sets how often and how soon calls are repeated.
    #[must_use]
    pub const fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}
