//! What a handler answers, and what follows from it.

use std::{error::Error as StdError, fmt, pin::Pin, sync::Arc, time::Duration};

use onceward_backend::{RetryPolicy, internal::chain};

use crate::{
    error::BoxError,
    message::{Envelope, MessageError},
    tx::Tx,
};

pub(super) type BoxHandler<D> =
    Arc<dyn Fn(Tx<D>, Envelope) -> Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>> + Send + Sync>;

/// Why a handler did not do its work. Every error converts with `?` into one that is retried; a payload that cannot be
/// read is parked at once, since no repeat mends it.
///
/// Not an [`Error`](StdError) itself, so that every other error can become one.
#[derive(Debug)]
pub struct HandlerError {
    source: BoxError,
    permanent: bool,
}

impl HandlerError {
    /// The message is to come again.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self { source: error.into(), permanent: false }
    }

    /// No repeat would help: the message is parked at once.
    pub fn reject(error: impl Into<BoxError>) -> Self {
        Self { source: error.into(), permanent: true }
    }

    /// What happened, with its causes: what is kept beside a message that failed.
    pub(super) fn chain(&self) -> String {
        chain(&*self.source)
    }

    /// Whether the message is parked at once.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let source: BoxError = Box::new(error);
        let permanent = source.is::<MessageError>();
        Self { source, permanent }
    }
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Retry(Duration),
    Dead,
}

/// A message that kills its consumer never gets to fail; after so many deliveries per attempt it is given up.
const DELIVERIES_PER_ATTEMPT: u32 = 8;

/// Whether this message was delivered so often without a word about it that nobody else is to try it.
pub(super) fn is_killer(failures: u32, deliveries: u32, retry: &RetryPolicy) -> bool {
    deliveries.saturating_sub(failures) > retry.attempts.saturating_mul(DELIVERIES_PER_ATTEMPT)
}

pub(super) fn after_failure(error: &HandlerError, failures: u32, retry: &RetryPolicy, random: f64) -> After {
    let failures = failures.saturating_add(1);
    if error.permanent || !retry.allows(failures) { After::Dead } else { After::Retry(retry.delay(failures, random)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io() -> HandlerError {
        std::io::Error::other("on purpose").into()
    }

    #[test]
    fn the_budget_counts_failures_not_deliveries() {
        let retry = RetryPolicy::exponential().with_attempts(3);
        assert!(matches!(after_failure(&io(), 0, &retry, 1.0), After::Retry(_)));
        assert!(matches!(after_failure(&io(), 1, &retry, 1.0), After::Retry(_)));
        assert_eq!(after_failure(&io(), 2, &retry, 1.0), After::Dead);
    }

    #[test]
    fn deliveries_that_nobody_speaks_of_are_counted_by_themselves() {
        let retry = RetryPolicy::exponential().with_attempts(3);
        assert!(!is_killer(0, 24, &retry) && is_killer(0, 25, &retry));
        assert!(!is_killer(2, 26, &retry) && is_killer(2, 27, &retry));
    }

    #[test]
    fn what_cannot_be_read_or_was_rejected_is_parked_at_once() {
        let retry = RetryPolicy::exponential();
        let unreadable = MessageError::Decode(serde_json::from_str::<u8>("x").unwrap_err());
        assert_eq!(after_failure(&unreadable.into(), 0, &retry, 1.0), After::Dead);
        assert_eq!(after_failure(&HandlerError::reject("no"), 0, &retry, 1.0), After::Dead);
    }
}
