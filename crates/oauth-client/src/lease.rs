//! The claim on one login: taken by one process, renewed while it works, ended with a result.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    Digest, Error, Failure,
    client::Inner,
    flow,
    pending::{Flow, Last, Phase},
    random,
};

/// Writes that go wrong are tried so often before the login is left to its lease.
const ATTEMPTS: u32 = 5;

#[derive(Debug)]
pub(crate) struct Lease {
    inner: Arc<Inner>,
    id: Digest,
    version: i64,
    flow: Flow,
    code: Digest,
    owner: Digest,
    claimed: Instant,
    left: Duration,
}

impl Lease {
    /// Tries to become the one that ends the login. `None`: another one was faster.
    pub(crate) async fn claim(
        inner: Arc<Inner>,
        id: Digest,
        version: i64,
        flow: Flow,
        code: Digest,
        left: Duration,
    ) -> Result<Option<Self>, Error> {
        let mut owner = [0; 32];
        random::fill(&mut owner)?;
        let owner = Digest::of("owner", &[&owner]);
        let mut lease = Self { inner, id, version, flow, code, owner, claimed: Instant::now(), left };
        let (body, ttl) = lease.running()?;
        let replaced = lease.inner.stores.flows.replace(&id, version, &body, ttl).await;
        lease.version += 1;
        match replaced {
            Ok(won) => Ok(won.then_some(lease)),
            // The write may have arrived although its answer did not; then the claim is ours.
            Err(error) => match lease.still_mine().await {
                Ok(true) => Ok(Some(lease)),
                _ => Err(error.into()),
            },
        }
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Runs `work` to its end and renews the claim meanwhile.
    pub(crate) async fn keep<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let pause = self.inner.options.lease / 4;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep(pause) => {}
            }
            // A renewal in flight is awaited to its end: the version would not be known otherwise.
            let mut renewal = pin!(self.renew());
            tokio::select! {
                done = &mut work => {
                    let _ = renewal.await;
                    return done;
                }
                _ = &mut renewal => {}
            }
        }
    }

    /// Renews the claim; `false`: it was lost.
    pub(crate) async fn renew(&mut self) -> Result<bool, Error> {
        let (body, ttl) = self.running()?;
        match self.inner.stores.flows.replace(&self.id, self.version, &body, ttl).await {
            Ok(true) => {
                self.version += 1;
                Ok(true)
            }
            Ok(false) => self.still_mine().await,
            Err(error) => {
                tracing::debug!(class = ?error.class(), "claim not renewed");
                self.still_mine().await
            }
        }
    }

    /// Ends the login: the answer is kept for its repetitions.
    pub(crate) async fn complete(mut self, answer: &[u8]) -> bool {
        let ttl = self.inner.options.done_ttl;
        let written = self.write(Phase::Done { code: self.code, answer: answer.to_vec() }, ttl).await;
        self.inner.ended.notify_waiters();
        written
    }

    /// Gives the login back to its owner; the code and what became of it are remembered.
    pub(crate) async fn release(mut self, failure: Option<Failure>) {
        let left = self.left();
        self.write(Phase::Pending { last: Some(Last { code: self.code, failure }) }, left).await;
        self.inner.ended.notify_waiters();
    }

    async fn write(&mut self, phase: Phase, ttl: Duration) -> bool {
        // A zero life would be an error of some stores; the record is over either way.
        let ttl = ttl.max(Duration::from_millis(1));
        let target = self.flow.clone().into_phase(phase);
        let Ok(body) = flow::seal(&self.inner, &self.id, &target) else { return false };
        for attempt in 1..=ATTEMPTS {
            match self.inner.stores.flows.replace(&self.id, self.version, &body, ttl).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(attempt, class = ?error.class(), "end of a login not written");
                    sleep(Duration::from_millis(20) * attempt).await;
                }
            }
            // An earlier write, or a renewal, may have arrived although its answer did not.
            match flow::load(&self.inner, &self.id).await {
                Ok(Some((_, found))) if found.phase == target.phase => return true,
                Ok(Some((entry, found))) if self.owns(&found) => self.version = entry.version,
                Ok(_) => return false,
                Err(_) => {}
            }
        }
        false
    }

    async fn still_mine(&mut self) -> Result<bool, Error> {
        match flow::load(&self.inner, &self.id).await? {
            Some((entry, found)) if self.owns(&found) => {
                self.version = entry.version;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn owns(&self, found: &Flow) -> bool {
        matches!(&found.phase, Phase::Exchanging { owner, .. } if *owner == self.owner)
    }

    fn left(&self) -> Duration {
        self.left.saturating_sub(self.claimed.elapsed())
    }

    /// The record of a running login, and its life: it must outlive both the claim and the pending time.
    fn running(&self) -> Result<(Vec<u8>, Duration), Error> {
        let left = self.left();
        let phase = Phase::Exchanging {
            code: self.code,
            owner: self.owner,
            left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        let body = flow::seal(&self.inner, &self.id, &self.flow.clone().into_phase(phase))?;
        let options = &self.inner.options;
        Ok((body, left.max(options.lease) + options.done_ttl))
    }
}
