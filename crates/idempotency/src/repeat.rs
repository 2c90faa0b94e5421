//! The one place where store calls are repeated.

use onceward_backend::RetryPolicy;

use crate::Error;

/// Repeats a call that knows its caller by an owner id: also after an unknown outcome, since asking twice means the same.
pub(crate) async fn owned<T, F>(policy: &RetryPolicy, operation: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    policy.run_if(|error: &Error| error.is_retryable() || error.is_unknown(), operation).await
}

/// Repeats a call only where nothing happened; an unknown outcome is the caller's to judge.
pub(crate) async fn unowned<T, F>(policy: &RetryPolicy, operation: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    policy.run_if(Error::is_retryable, operation).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_backend::{BackendError, ErrorClass};

    async fn calls(class: ErrorClass, with_owner: bool) -> u32 {
        let mut seen = 0;
        let policy = RetryPolicy::exponential().with_attempts(3);
        let fail = || {
            seen += 1;
            async move { Err::<(), _>(Error::from(BackendError::new("test", class, "on purpose"))) }
        };
        let result = if with_owner { owned(&policy, fail).await } else { unowned(&policy, fail).await };
        assert!(result.is_err());
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_is_repeated_only_with_an_owner() {
        for (class, owned, unowned) in [
            (ErrorClass::Transient, 3, 3),
            (ErrorClass::Unavailable, 3, 3),
            (ErrorClass::Unknown, 3, 1),
            (ErrorClass::Refused, 1, 1),
            (ErrorClass::Conflict, 1, 1),
            (ErrorClass::Corrupt, 1, 1),
        ] {
            assert_eq!((calls(class, true).await, calls(class, false).await), (owned, unowned), "{class:?}");
        }
    }
}
