//! Waiting for something that another task, process or server does.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Calls `probe` until it answers `Ok`, for at most `limit`.
///
/// The pause between calls grows from 2 ms to 100 ms.
///
/// # Panics
/// When the time is over, with the last `Err`, the time waited and the caller's place. A probe that hangs is given up
/// at the same moment.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::{cell::Cell, time::Duration};
/// let calls = Cell::new(0);
/// let third = testkit::eventually(Duration::from_secs(5), async || {
///     calls.set(calls.get() + 1);
///     if calls.get() < 3 { Err("not yet") } else { Ok(calls.get()) }
/// })
/// .await;
/// assert_eq!(third, 3);
/// # }
/// ```
#[track_caller]
pub fn eventually<T, E, F, Fut>(limit: Duration, mut probe: F) -> impl Future<Output = T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let caller = Location::caller();
    async move {
        let start = Instant::now();
        let mut last = None;
        let mut pause = Duration::from_millis(2);
        loop {
            match timeout(limit.saturating_sub(start.elapsed()), probe()).await {
                Ok(Ok(value)) => return value,
                Ok(Err(error)) => last = Some(error.to_string()),
                Err(_) => panic!(
                    "at {caller}: the probe still hung after {:?}; before that: {}",
                    start.elapsed(),
                    last.as_deref().unwrap_or("nothing, it was the first call")
                ),
            }
            if start.elapsed() + pause >= limit {
                panic!(
                    "at {caller}: not true within {:?} (limit {limit:?}): {}",
                    start.elapsed(),
                    last.unwrap_or_default()
                );
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn polls_until_it_is_true() {
        let mut calls = 0;
        let value = eventually(Duration::from_secs(10), || {
            calls += 1;
            let answer = if calls < 20 { Err("early") } else { Ok(calls) };
            async move { answer }
        })
        .await;
        assert_eq!(value, 20);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "three is missing")]
    async fn says_the_last_error() {
        eventually(Duration::from_secs(1), async || Err::<(), _>("three is missing")).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still hung")]
    async fn gives_up_a_probe_that_hangs() {
        eventually(Duration::from_secs(1), std::future::pending::<Result<(), String>>).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "eventually.rs")]
    async fn names_the_place() {
        eventually(Duration::from_millis(1), async || Err::<(), _>("")).await;
    }
}
