//! Who in this process waits in the queue for rows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::Tc;
use super::lock::LockKey;
use super::store::NewWaiter;
use super::turn::Answer;
use crate::DtxError;

/// How often one of those that wait looks for all of them: another process may have freed their rows.
const LOOK: Duration = Duration::from_millis(20);

/// The waiters of this process. A waiter holds neither a connection nor a row; what it is told is a hint, the registration
/// that follows is the truth.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    entered: Mutex<HashMap<String, Entry>>,
    /// Waiters that gave up, and are still in the store's queue.
    left: Mutex<Vec<String>>,
    looked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Entry {
    tell: oneshot::Sender<Answer>,
    /// False until the store has it in its queue.
    is_queued: bool,
}

impl Waiters {
    fn enter(&self, waiter: &str) -> (Place<'_>, oneshot::Receiver<Answer>) {
        let (tell, told) = oneshot::channel();
        self.entered().insert(waiter.to_owned(), Entry { tell, is_queued: false });
        (Place { waiters: self, waiter: waiter.to_owned() }, told)
    }

    fn queued(&self, waiter: &str) {
        if let Some(entry) = self.entered().get_mut(waiter) {
            entry.is_queued = true;
        }
    }

    fn tell(&self, served: impl IntoIterator<Item = (String, Answer)>) {
        let mut entered = self.entered();
        for (waiter, answer) in served {
            if let Some(entry) = entered.remove(&waiter) {
                // Whoever does not listen any more has its row all the same, until its transaction ends.
                let _ = entry.tell.send(answer);
            }
        }
    }

    fn entered(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Vec<String>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue. Dropped without an answer, it is given up.
struct Place<'a> {
    waiters: &'a Waiters,
    waiter: String,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.waiters.entered().remove(&self.waiter).is_some() {
            self.waiters.left().push(std::mem::take(&mut self.waiter));
        }
    }
}

impl Tc {
    /// Waits until the rows are the transaction's; false if that takes too long.
    pub(super) async fn wait(&self, xid: &str, locks: &[LockKey], at_most: Duration) -> Result<bool, DtxError> {
        let began = Instant::now();
        let waiter = Uuid::new_v4().simple().to_string();
        let (_place, mut told) = self.0.waiters.enter(&waiter);
        let (owner, locks) = (self.0.owner.clone(), locks.to_vec());
        let new = NewWaiter { waiter, xid: xid.to_owned(), owner, locks, patience: at_most };
        let served = self.0.store.enqueue(&new).await?;
        self.0.waiters.queued(&new.waiter);
        self.0.waiters.tell(served);
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut told => break answer.ok(),
                () = tokio::time::sleep_until(began + at_most) => break None,
                () = tokio::time::sleep(LOOK) => self.look().await,
            }
        };
        metrics::histogram!("onceward_dtx_lock_wait_seconds").record(began.elapsed().as_secs_f64());
        match answer {
            Some(Answer::Granted) => Ok(true),
            Some(Answer::Deadlock) => {
                metrics::counter!("onceward_dtx_deadlocks_total").increment(1);
                Err(DtxError::Deadlock { xid: xid.to_owned() })
            }
            // The next try hears who it is, and fails at once.
            Some(Answer::Parked) => Ok(true),
            Some(Answer::Ended) => {
                let status = self.0.store.find(xid).await?.map(|standing| standing.status);
                Err(DtxError::Ended { xid: xid.to_owned(), status })
            }
            Some(Answer::Late) | None => Ok(false),
        }
    }

    /// Gives rows that were freed to those who wait for them.
    pub(super) async fn serve(&self) -> Result<(), DtxError> {
        let served = self.0.store.serve(&self.0.owner).await?;
        self.0.waiters.tell(served);
        Ok(())
    }

    /// Looks for all waiters of this process, unless somebody does or just has.
    async fn look(&self) {
        let Ok(mut looked) = self.0.waiters.looked.try_lock() else { return };
        if looked.is_some_and(|last| last.elapsed() < LOOK) {
            return;
        }
        if let Err(error) = self.look_up().await {
            tracing::warn!(%error, "who waits for rows was not looked up");
        }
        *looked = Some(Instant::now());
    }

    async fn look_up(&self) -> Result<(), DtxError> {
        self.leave().await?;
        let waiters = &self.0.waiters;
        let queued: Vec<_> = {
            let entered = waiters.entered();
            entered.iter().filter(|(_, entry)| entry.is_queued).map(|(waiter, _)| waiter.clone()).collect()
        };
        let answers: HashMap<_, _> = self.0.store.answers(&self.0.owner).await?.into_iter().collect();
        // Whoever is not in the queue any more was answered, and the answer was lost: a try will tell.
        let gone = queued.into_iter().filter(|waiter| !answers.contains_key(waiter));
        waiters.tell(gone.map(|waiter| (waiter, Answer::Granted)));
        waiters.tell(answers.into_iter().filter_map(|(waiter, answer)| Some((waiter, answer?))));
        if !waiters.entered().is_empty() {
            // A row may have been freed while its waiter was on its way into the queue.
            self.serve().await?;
        }
        Ok(())
    }

    /// Takes those that gave up out of the queue.
    pub(super) async fn leave(&self) -> Result<(), DtxError> {
        let left = std::mem::take(&mut *self.0.waiters.left());
        if left.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = left.iter().map(String::as_str).collect();
        if let Err(error) = self.0.store.leave(&names).await {
            self.0.waiters.left().extend(left);
            return Err(error.into());
        }
        Ok(())
    }
}
