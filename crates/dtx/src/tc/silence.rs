//! Resources that do not answer, and how little others wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onceward_backend::{ErrorClass, RetryPolicy};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::DtxError;

/// The longest that one call may take; a branch of the largest size is undone in far less.
pub(super) const CALL: Duration = Duration::from_secs(20);
/// How long the worker waits for its turn at a resource. One with a call that takes longer is not asked for anything else
/// meanwhile.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// The same for somebody who waits for the end of a rollback: a busy database is not yet a silent one.
const PATIENT: Duration = Duration::from_secs(5);
/// Calls to one resource at a time: a few more than its pool for undo has connections.
const ABREAST: usize = 4;
/// How long a resource that did not answer is left alone.
const PAUSES: RetryPolicy =
    RetryPolicy::exponential().with_base(Duration::from_secs(1)).with_max(Duration::from_secs(15));

/// What the calls of this process to its resources came to.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<HashMap<String, Record>>);

#[derive(Debug)]
struct Record {
    turns: Arc<Semaphore>,
    /// When the calls began that are out, by their numbers.
    calls: HashMap<u64, Instant>,
    number: u64,
    failures: u32,
    until: Option<Instant>,
}

impl Default for Record {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(ABREAST));
        Self { turns, calls: HashMap::new(), number: 0, failures: 0, until: None }
    }
}

impl Record {
    fn is_silent(&self, now: Instant, patience: Duration) -> bool {
        let longest = patience.min(PATIENT);
        self.until.is_some_and(|until| until > now) || self.calls.values().any(|began| now - *began > longest)
    }
}

impl Silence {
    /// Calls a resource when it is its turn, which is waited for `patience` at most.
    ///
    /// # Errors
    /// At once if the resource is silent; after [`CALL`] if it becomes so.
    pub(super) async fn ask<T>(
        &self,
        id: &str,
        patience: Duration,
        call: impl Future<Output = Result<T, DtxError>>,
    ) -> Result<T, DtxError> {
        let silent = || DtxError::Resource { resource: id.to_owned(), problem: "does not answer for now".to_owned() };
        let turns = self.speaking(id, patience).ok_or_else(silent)?;
        let turn = timeout(patience, turns.acquire()).await;
        let (Ok(Ok(_turn)), Some(_)) = (turn, self.speaking(id, patience)) else { return Err(silent()) };
        let out = self.call(id);
        let answer = timeout(CALL, call).await;
        out.answered(match &answer {
            Ok(Err(DtxError::Backend(error))) => {
                !matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Unknown)
            }
            Ok(_) => true,
            Err(_) => false,
        });
        answer.unwrap_or_else(|_| Err(silent()))
    }

    /// The turns of a resource that is not silent.
    fn speaking(&self, id: &str, patience: Duration) -> Option<Arc<Semaphore>> {
        let mut records = self.records();
        let record = records.entry(id.to_owned()).or_default();
        (!record.is_silent(Instant::now(), patience)).then(|| Arc::clone(&record.turns))
    }

    fn call<'a>(&'a self, id: &'a str) -> Call<'a> {
        let mut records = self.records();
        let record = records.entry(id.to_owned()).or_default();
        record.number += 1;
        record.calls.insert(record.number, Instant::now());
        Call { silence: self, id, number: record.number }
    }

    fn records(&self) -> MutexGuard<'_, HashMap<String, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is out, also if it is given up half way.
struct Call<'a> {
    silence: &'a Silence,
    id: &'a str,
    number: u64,
}

impl Call<'_> {
    fn answered(self, spoke: bool) {
        let mut records = self.silence.records();
        let Some(record) = records.get_mut(self.id) else { return };
        if spoke {
            (record.failures, record.until) = (0, None);
            return;
        }
        record.failures = record.failures.saturating_add(1);
        let pause = PAUSES.delay(record.failures, 1.0);
        record.until = Some(Instant::now() + pause);
        tracing::warn!(resource = self.id, ?pause, "a resource does not answer, and is left alone for a while");
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.silence.records().get_mut(self.id) {
            record.calls.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(result: Result<(), DtxError>) -> Result<(), DtxError> {
        result
    }

    fn gone() -> Result<(), DtxError> {
        Err(onceward_backend::BackendError::new("test", ErrorClass::Unavailable, "on purpose").into())
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_call_hangs_nobody_waits_for_the_resource_and_others_are_asked() {
        let silence = Silence::default();
        let began = Instant::now();
        let hangs = async { silence.ask("a", CALL, std::future::pending::<Result<(), _>>()).await };
        let others = async {
            assert!(silence.ask("a", SOON, answer(Ok(()))).await.is_ok(), "one slow call proves nothing");
            tokio::time::sleep(SOON * 2).await;
            let asked = Instant::now();
            assert!(silence.ask("a", SOON, answer(Ok(()))).await.is_err());
            assert!(silence.ask("a", CALL, answer(Ok(()))).await.is_ok(), "it may only be busy");
            tokio::time::sleep(PATIENT).await;
            let asked = asked + PATIENT;
            assert!(silence.ask("a", CALL, answer(Ok(()))).await.is_err());
            assert!(silence.ask("b", CALL, answer(Ok(()))).await.is_ok());
            assert_eq!(asked.elapsed(), Duration::ZERO);
        };
        let (hung, ()) = tokio::join!(hangs, others);
        assert!(hung.is_err());
        assert_eq!(began.elapsed(), CALL);
        assert!(silence.ask("a", CALL, answer(Ok(()))).await.is_err(), "left alone after that");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(silence.ask("a", CALL, answer(Ok(()))).await.is_ok(), "but not for ever");
        assert!(silence.records()["a"].calls.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_left_alone_for_longer_and_an_answer_forgives_all() {
        let silence = Silence::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(silence.ask("a", CALL, answer(gone())).await.is_err());
            let since = Instant::now();
            while silence.speaking("a", SOON).is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            pauses.push(since.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15]);
        assert!(silence.ask("a", CALL, answer(Err(DtxError::NoTransaction))).await.is_err());
        assert!(silence.speaking("a", SOON).is_some(), "it did answer");
        assert!(silence.ask("a", CALL, answer(gone())).await.is_err());
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert!(silence.speaking("a", SOON).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_waits_its_turn_and_who_gives_up_leaves_nothing_behind() {
        let silence = Silence::default();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            Ok(())
        };
        let all = futures_util::future::join_all((0..12).map(|_| silence.ask("a", CALL, slow()))).await;
        assert!(all.iter().all(Result::is_ok));
        let crowd = futures_util::future::join_all((0..12).map(|_| silence.ask("a", SOON, slow()))).await;
        assert_eq!(crowd.iter().filter(|answer| answer.is_ok()).count(), 2 * ABREAST);
        drop(timeout(SOON / 2, silence.ask("a", CALL, slow())).await);
        assert!(silence.records()["a"].calls.is_empty());
    }
}
