//! The one poll-and-wake loop that every background worker runs.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::retry::{RetryPolicy, random_unit};

/// What a worker's step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more to do at once.
    More,
    /// Nothing to do until the next wake-up or poll.
    Idle,
    /// Nothing to do for that long, unless woken.
    Until(Duration),
}

/// Calls `step` until `shutdown`: again at once after [`Progress::More`], else after a `wake` or the poll interval.
/// A failed step is logged and repeated with back-off, up to 5 s. Returns between two steps only, so that a step in
/// flight is never dropped half way.
pub async fn work<F, Fut, E>(
    name: &'static str,
    poll: Duration,
    wake: &Notify,
    shutdown: &CancellationToken,
    mut step: F,
) where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Progress, E>>,
    E: Display,
{
    let backoff = RetryPolicy::exponential();
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        let outcome = step().await;
        let pause = match outcome {
            Ok(Progress::More) => {
                failures = 0;
                tokio::task::yield_now().await;
                continue;
            }
            Ok(progress) => {
                failures = 0;
                if let Progress::Until(pause) = progress { pause.min(poll) } else { poll }
            }
            Err(error) => {
                failures += 1;
                metrics::counter!("onceward_backend_worker_errors_total", "worker" => name).increment(1);
                tracing::warn!(worker = name, failures, %error, "step failed, backing off");
                // Not shortened by wake-ups: a busy producer must not turn an outage into a hot loop.
                let pause = backoff.delay(failures, 0.5 + random_unit() / 2.0);
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wakes_polls_backs_off_and_drains() {
        let (wake, shutdown) = (Arc::new(Notify::new()), CancellationToken::new());
        let steps = Arc::new(AtomicU32::new(0));
        let task = {
            let (wake, shutdown, steps) = (Arc::clone(&wake), shutdown.clone(), Arc::clone(&steps));
            async move {
                work("test", Duration::from_secs(60), &wake, &shutdown, || async {
                    match steps.fetch_add(1, Ordering::SeqCst) {
                        0 | 1 => Ok(Progress::More),
                        2 => Ok(Progress::Idle),
                        3 => Err("on purpose"),
                        4 => Ok(Progress::Until(Duration::from_secs(1))),
                        _ => {
                            // Long enough that the shutdown comes in the middle of it.
                            tokio::time::sleep(Duration::from_secs(10)).await;
                            steps.fetch_add(100, Ordering::SeqCst);
                            Ok(Progress::Idle)
                        }
                    }
                })
                .await;
            }
        };
        let driver = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(steps.load(Ordering::SeqCst), 3, "idle until woken");
            wake.notify_one();
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(steps.load(Ordering::SeqCst), 6, "an error, then a short pause, then the long step");
            shutdown.cancel();
        };
        tokio::join!(task, driver);
        assert_eq!(steps.load(Ordering::SeqCst), 106, "the step in flight ended before the worker returned");
    }
}
