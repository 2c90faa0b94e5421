//! How often and how soon a failed call is repeated.

use std::time::Duration;

use crate::BackendError;

/// Exponential back-off with full jitter, bounded in the number of attempts.
///
/// ```
/// use std::time::Duration;
/// use onceward_backend::RetryPolicy;
///
/// let policy = RetryPolicy::exponential().with_attempts(3).with_base(Duration::from_millis(100));
/// assert_eq!(policy.delay(1, 1.0), Duration::from_millis(100));
/// assert_eq!(policy.delay(2, 1.0), Duration::from_millis(200));
/// assert_eq!(policy.delay(2, 0.5), Duration::from_millis(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The longest pause after the first failure.
    pub base: Duration,
    /// What each further failure multiplies that pause by.
    pub factor: f64,
    /// No pause is longer than this.
    pub max: Duration,
    /// How many times the call is made in all, the first included; at least 1.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential()
    }
}

impl RetryPolicy {
    /// 20 ms, doubled up to 5 s, 5 attempts.
    pub const fn exponential() -> Self {
        Self { base: Duration::from_millis(20), factor: 2.0, max: Duration::from_secs(5), attempts: 5 }
    }

    /// One attempt, no repeat.
    pub const fn none() -> Self {
        Self { base: Duration::ZERO, factor: 1.0, max: Duration::ZERO, attempts: 1 }
    }

    /// Sets the longest pause after the first failure.
    #[must_use]
    pub const fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the longest pause of all.
    #[must_use]
    pub const fn with_max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Sets what each failure multiplies the pause by.
    #[must_use]
    pub const fn with_factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets how many times the call is made in all.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The pause after failure number `failure` (1 is the first), where `unit` in `0.0..=1.0` is the random share of it
    /// that is waited (full jitter).
    pub fn delay(&self, failure: u32, unit: f64) -> Duration {
        let exponent = i32::try_from(failure.saturating_sub(1)).unwrap_or(i32::MAX);
        let longest = self.base.as_secs_f64() * self.factor.powi(exponent);
        let bounded = longest.min(self.max.as_secs_f64()).max(0.0) * unit.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(bounded).unwrap_or(self.max)
    }

    /// True if a call that failed `failures` times may be made again.
    pub const fn allows(&self, failures: u32) -> bool {
        failures < self.attempts
    }

    /// Calls `operation` until it succeeds, fails with an error that is not [retryable](BackendError::is_retryable), or
    /// the attempts are spent; answers the last result.
    ///
    /// # Errors
    /// The last error of `operation`.
    pub async fn run<T, F>(&self, operation: impl FnMut() -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, BackendError>>,
    {
        self.run_if(BackendError::is_retryable, operation).await
    }

    /// Like [`run`](Self::run), where `again` says which errors may be repeated: for errors of your own, or for calls that
    /// mean the same when they are made twice and so may be repeated after an unknown outcome too.
    ///
    /// # Errors
    /// The last error of `operation`.
    pub async fn run_if<T, E, F>(&self, again: impl Fn(&E) -> bool, mut operation: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut failures = 0;
        loop {
            match operation().await {
                Err(error) if again(&error) => {
                    failures += 1;
                    if !self.allows(failures) {
                        return Err(error);
                    }
                    metrics::counter!("onceward_backend_repeats_total").increment(1);
                    tokio::time::sleep(self.delay(failures, random_unit())).await;
                }
                done => return done,
            }
        }
    }
}

/// A random share in `0.0..=1.0`. Falls back to 1 (the longest pause) where the system has no randomness to give.
pub fn random_unit() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorClass;

    fn failing(class: ErrorClass) -> BackendError {
        BackendError::new("test", class, "on purpose")
    }

    #[test]
    fn delays_grow_to_the_maximum_and_never_overflow() {
        let policy = RetryPolicy::exponential();
        for failure in 1..2_000 {
            let delay = policy.delay(failure, 1.0);
            assert!(delay <= policy.max && delay >= policy.delay(failure, 0.3));
            assert!(delay >= policy.delay(failure - 1, 1.0) || failure == 1);
        }
        assert_eq!(policy.delay(u32::MAX, 1.0), policy.max);
        assert_eq!(policy.delay(3, 0.0), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_be_repeated_is_repeated() {
        for (class, calls) in [
            (ErrorClass::Transient, 3),
            (ErrorClass::Unavailable, 3),
            (ErrorClass::Unknown, 1),
            (ErrorClass::Conflict, 1),
            (ErrorClass::Refused, 1),
            (ErrorClass::Corrupt, 1),
        ] {
            let mut seen = 0;
            let result: Result<(), _> = RetryPolicy::exponential()
                .with_attempts(3)
                .run(|| {
                    seen += 1;
                    async move { Err(failing(class)) }
                })
                .await;
            assert_eq!(result.map_err(|error| error.class()), Err(class));
            assert_eq!(seen, calls, "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_success_is_the_answer() {
        let mut seen = 0;
        let result = RetryPolicy::exponential()
            .run(|| {
                seen += 1;
                let now = seen;
                async move { if now < 3 { Err(failing(ErrorClass::Transient)) } else { Ok(now) } }
            })
            .await;
        assert_eq!(result.map_err(|error| error.class()), Ok(3));
    }
}
