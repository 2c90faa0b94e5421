//! One connection for all calls, made when it is needed, and made anew with pauses when it is lost.

use std::{fmt, sync::Arc};

use onceward_backend::{RetryPolicy, internal::random_unit};
use tokio::{sync::Mutex, time::Instant};

use crate::Error;
pub(super) use crate::error::broker;

/// What becomes of a connection. How one is made, and whether it is still one, its broker says.
pub(super) struct Kept<L> {
    reconnect: RetryPolicy,
    state: Mutex<State<L>>,
}

struct State<L> {
    live: Option<Arc<L>>,
    failures: u32,
    rest_until: Option<Instant>,
}

impl<L> Default for State<L> {
    fn default() -> Self {
        Self { live: None, failures: 0, rest_until: None }
    }
}

impl<L> Kept<L> {
    pub(super) fn new(reconnect: RetryPolicy) -> Self {
        Self { reconnect, state: Mutex::default() }
    }

    /// The connection, made if there is none; refused at once while it rests after a failure.
    pub(super) async fn live(
        &self,
        is_up: impl Fn(&L) -> bool,
        connect: impl Future<Output = Result<L, Error>>,
    ) -> Result<Arc<L>, Error> {
        let mut state = self.state.lock().await;
        if let Some(live) = state.live.take() {
            if is_up(&live) {
                state.live = Some(Arc::clone(&live));
                return Ok(live);
            }
            tracing::info!("the connection to the broker is lost");
        }
        if state.rest_until.is_some_and(|until| Instant::now() < until) {
            return Err(broker("the broker could not be reached a moment ago"));
        }
        match connect.await {
            Ok(live) => {
                let live = Arc::new(live);
                *state = State { live: Some(Arc::clone(&live)), ..State::default() };
                Ok(live)
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let pause = self.reconnect.delay(state.failures, 0.5 + random_unit() / 2.0);
                state.rest_until = Some(Instant::now() + pause);
                Err(error)
            }
        }
    }

    /// Gives a connection up that does not answer; the next call makes a new one.
    pub(super) async fn give_up(&self, live: &Arc<L>) {
        let mut state = self.state.lock().await;
        if state.live.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            state.live = None;
        }
    }
}

impl<L> fmt::Debug for Kept<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_made_once_given_up_and_rests_after_a_failure() {
        let made = AtomicU32::new(0);
        let pause = Duration::from_secs(10);
        let kept = Kept::new(RetryPolicy::exponential().with_base(pause).with_max(pause));
        let live = async |is_up: bool| {
            kept.live(|_| is_up, async { Ok(made.fetch_add(1, Ordering::SeqCst)) }).await.map(|live| *live)
        };
        assert_eq!((live(true).await.unwrap(), live(true).await.unwrap()), (0, 0));
        assert_eq!(live(false).await.unwrap(), 1, "it was lost");
        let current = kept.live(|_| true, async { unreachable!() }).await.unwrap();
        kept.give_up(&Arc::new(1)).await;
        assert_eq!(live(true).await.unwrap(), 1, "that was another one");
        kept.give_up(&current).await;
        assert!(kept.live(|_| true, async { Err(broker("no")) }).await.is_err());
        assert!(live(true).await.unwrap_err().to_string().contains("a moment ago"));
        tokio::time::sleep(pause).await;
        assert_eq!(live(true).await.unwrap(), 2);
    }
}
