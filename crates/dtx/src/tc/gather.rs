//! Calls of many callers as one: whoever comes while a batch is under way is part of the next.

use std::sync::{Mutex, PoisonError};

use onceward_backend::BackendError;
use tokio::sync::{Semaphore, oneshot};

/// Calls that are made together at the most.
const MOST: usize = 64;

/// Calls that wait to be made together. None of them needs a task of its own: one of the callers makes the call for all.
#[derive(Debug)]
pub(super) struct Gather<Q, A> {
    waiting: Mutex<Vec<Call<Q, A>>>,
    turn: Semaphore,
}

#[derive(Debug)]
struct Call<Q, A> {
    request: Q,
    tell: oneshot::Sender<Option<A>>,
}

impl<Q, A> Default for Gather<Q, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl<Q: Clone, A> Gather<Q, A> {
    /// Makes a call by `all` together with whoever else is waiting, or by `alone` if there is no request for that, or if the batch
    /// failed: then each hears by itself what is wrong.
    ///
    /// # Errors
    /// That of `alone`.
    pub(super) async fn or_alone<F>(
        &self,
        request: Option<Q>,
        all: impl Fn(Vec<Q>) -> F,
        alone: impl Future<Output = Result<A, BackendError>>,
    ) -> Result<A, BackendError>
    where
        F: Future<Output = Result<Vec<A>, BackendError>>,
    {
        if let Some(request) = request {
            let run = |requests| {
                let batch = all(requests);
                async { batch.await.inspect_err(|error| tracing::warn!(%error, "a batch failed")).ok() }
            };
            if let Some(answer) = self.call(request, MOST, run).await {
                return Ok(answer);
            }
        }
        alone.await
    }

    /// Makes a call together with whoever else is waiting, `most` at once. None: the batch failed, and the caller has to ask by
    /// itself.
    ///
    /// Whoever makes the call for all may be dropped half way; the others then ask again, so a request must mean the same
    /// when it is made twice.
    async fn call<F>(&self, request: Q, most: usize, run: impl Fn(Vec<Q>) -> F) -> Option<A>
    where
        F: Future<Output = Option<Vec<A>>>,
    {
        loop {
            let (tell, mut told) = oneshot::channel();
            self.add(Call { request: request.clone(), tell });
            loop {
                let turn = tokio::select! {
                    biased;
                    answer = &mut told => match answer {
                        Ok(answer) => return answer,
                        Err(_) => break,
                    },
                    turn = self.turn.acquire() => turn,
                };
                // Never closed.
                let Ok(_turn) = turn else { return None };
                let (requests, callers) = self.take(most);
                if requests.is_empty() {
                    // Ours is under way: its maker's turn has just ended.
                    continue;
                }
                let mut answers = run(requests).await.map(Vec::into_iter);
                for tell in callers {
                    let _ = tell.send(answers.as_mut().and_then(Iterator::next));
                }
            }
        }
    }

    fn add(&self, call: Call<Q, A>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// The first that still wait for an answer.
    fn take(&self, most: usize) -> (Vec<Q>, Vec<oneshot::Sender<Option<A>>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|call| !call.tell.is_closed());
        let most = most.min(waiting.len());
        waiting.drain(..most).map(|Call { request, tell }| (request, tell)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_meanwhile_is_part_of_the_next_batch() {
        let (gather, batches) = (Gather::<u32, u32>::default(), Mutex::new(Vec::new()));
        let call = |number: u32| {
            gather.call(number, 5, |numbers| {
                batches.lock().unwrap().push(numbers.clone());
                async {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    Some(numbers.into_iter().map(|number| number * 2).collect())
                }
            })
        };
        let answers = futures_util::future::join_all((0..9).map(call)).await;
        assert_eq!(answers, (0..9).map(|number| Some(number * 2)).collect::<Vec<_>>());
        assert_eq!(*batches.lock().unwrap(), [vec![0], vec![1, 2, 3, 4, 5], vec![6, 7, 8]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_batch_leaves_each_to_itself() {
        let gather = Gather::<u32, u32>::default();
        let answers = futures_util::future::join_all((0..3).map(|number| gather.call(number, 5, async |_| None))).await;
        assert_eq!(answers, [None, None, None]);
        assert_eq!(gather.call(7, 5, async |numbers| Some(numbers)).await, Some(7));
    }

    /// The maker of a batch, and callers that wait, are dropped at every moment; all others get their own answers.
    #[tokio::test(start_paused = true)]
    async fn whoever_is_dropped_takes_nobody_along() {
        let (gather, made) = (Gather::<u64, u64>::default(), AtomicUsize::new(0));
        let mut rng = testkit::Rng::new(testkit::seed());
        let calls = (0..400).map(|number| {
            let (begins, patience) =
                (Duration::from_micros(rng.below(20_000)), Duration::from_micros(rng.below(4_000)));
            let (gather, made) = (&gather, &made);
            async move {
                tokio::time::sleep(begins).await;
                let call = gather.call(number, 16, |numbers| {
                    made.fetch_add(1, Ordering::SeqCst);
                    async {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        Some(numbers.into_iter().map(|number| number + 1).collect())
                    }
                });
                if number % 3 == 0 {
                    drop(tokio::time::timeout(patience, call).await);
                } else {
                    assert_eq!(call.await, Some(number + 1));
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(calls)).await.unwrap();
        assert!(made.load(Ordering::SeqCst) > 20);
        assert!(gather.take(1_000).0.is_empty());
    }
}
