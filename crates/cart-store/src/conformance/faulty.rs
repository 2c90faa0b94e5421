//! A store that misbehaves on purpose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::{BackendError, ErrorClass};

use super::Random;
use crate::{
    Absorb, Applied, Bought, Capabilities, Cart, Change, Command, Error, GuestId, Line, MemberId, MergeId, MergeReport,
    MergeTtl, OperationId, OrderId, Owner, Sealing, Store, Taken, Unfinished,
};

/// A method of [`Store`] that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// `apply`
    Apply,
    /// `seal`
    Seal,
    /// `absorb`
    Absorb,
    /// `tombstone`
    Tombstone,
    /// `take`
    Take,
}

/// A store between a service and the real one, which carries changes out and then loses the answer.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    plan: Plan,
    random: Mutex<Random>,
    applied: Mutex<HashMap<OperationId, u32>>,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    /// One in so many answers is lost, with an unknown outcome.
    LoseOneIn(u32),
    /// No answer to this step ever comes: as if the process had died there.
    DieAfter(Step),
}

impl Faulty {
    /// Loses about one in `n` answers after the change was made.
    pub fn losing_one_in(n: u32, inner: Arc<dyn Store>, seed: u64) -> Arc<Self> {
        Self::new(inner, Plan::LoseOneIn(n), seed)
    }

    /// Carries `step` out and then fails for good, as if the process had died.
    pub fn dying_after(step: Step, inner: Arc<dyn Store>) -> Arc<Self> {
        Self::new(inner, Plan::DieAfter(step), 0)
    }

    fn new(inner: Arc<dyn Store>, plan: Plan, seed: u64) -> Arc<Self> {
        Arc::new(Self { inner, plan, random: Mutex::new(Random::new(seed)), applied: Mutex::default() })
    }

    /// How often each operation really changed the cart.
    ///
    /// # Panics
    /// If a test panicked in the middle of it.
    pub fn applied(&self) -> HashMap<OperationId, u32> {
        self.applied.lock().unwrap().clone()
    }

    fn answer<T>(&self, step: Step, answer: T) -> Result<T, Error> {
        match self.plan {
            Plan::LoseOneIn(n) if self.random.lock().unwrap().below(n) == 0 => {
                Err(BackendError::new("faulty", ErrorClass::Unknown, "the answer is lost on purpose").into())
            }
            Plan::DieAfter(last) if last == step => {
                Err(BackendError::new("faulty", ErrorClass::Refused, "dead on purpose").into())
            }
            _ => Ok(answer),
        }
    }
}

#[async_trait]
impl Store for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, owner: &Owner) -> Result<Option<Cart>, Error> {
        self.inner.get(owner).await
    }

    async fn apply(&self, owner: &Owner, batch: &[Command], change: &Change) -> Result<Applied, Error> {
        let applied = self.inner.apply(owner, batch, change).await?;
        if let Some(operation) = change.operation
            && applied.changed
            && !applied.replayed
        {
            *self.applied.lock().unwrap().entry(operation.id).or_default() += 1;
        }
        self.answer(Step::Apply, applied)
    }

    async fn seal(&self, guest: &GuestId, into: &MemberId, merge: MergeId, ttl: MergeTtl) -> Result<Sealing, Error> {
        let sealing = self.inner.seal(guest, into, merge, ttl).await?;
        self.answer(Step::Seal, sealing)
    }

    async fn absorb(&self, member: &MemberId, lines: &[Line], absorb: &Absorb) -> Result<MergeReport, Error> {
        let report = self.inner.absorb(member, lines, absorb).await?;
        self.answer(Step::Absorb, report)
    }

    async fn tombstone(&self, guest: &GuestId, merge: MergeId, ttl: Duration) -> Result<(), Error> {
        self.inner.tombstone(guest, merge, ttl).await?;
        self.answer(Step::Tombstone, ())
    }

    async fn settle(&self, guest: &GuestId, merge: MergeId) -> Result<(), Error> {
        self.inner.settle(guest, merge).await
    }

    async fn unfinished(&self, sealed: Duration, tombstoned: Duration, limit: u32) -> Result<Vec<Unfinished>, Error> {
        self.inner.unfinished(sealed, tombstoned, limit).await
    }

    async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought], mark_ttl: Duration) -> Result<Taken, Error> {
        let taken = self.inner.take(owner, order, lines, mark_ttl).await?;
        self.answer(Step::Take, taken)
    }

    async fn delete(&self, owner: &Owner) -> Result<bool, Error> {
        self.inner.delete(owner).await
    }

    async fn purge(&self, limit: u32) -> Result<u64, Error> {
        self.inner.purge(limit).await
    }

    async fn health(&self) -> Result<(), Error> {
        self.inner.health().await
    }
}
