//! The service: what a shop calls.

mod merging;
mod options;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::internal::random_unit;

pub use merging::MergeSweep;
pub use options::CartOptions;
use turns::Turns;

use crate::error::Error;
use crate::store::Store;
use crate::types::{
    Applied, Bought, Cart, Change, Command, Item, LineKey, Operation, OperationId, OrderId, Owner, Taken,
};

/// The carts of a shop. Cheap to clone; clones share everything.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onceward_cart_store::Error> {
/// use std::sync::Arc;
/// use onceward_cart_store::{Carts, GuestId, Owner, Sku, store::MemoryStore};
///
/// let carts = Carts::new(Arc::new(MemoryStore::new()));
/// let owner = Owner::from(GuestId::random());
/// carts.add(&owner, Sku::new("tea-01")?, 2).await?;
/// assert_eq!(carts.get(&owner).await?.lines[0].quantity, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Carts {
    store: Arc<dyn Store>,
    options: CartOptions,
    turns: Turns,
}

impl Carts {
    /// Carts in `store`, with the default options.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, options: CartOptions::default(), turns: Turns::default() }
    }

    /// The same carts with other options.
    #[must_use]
    pub fn with_options(mut self, options: CartOptions) -> Self {
        self.options = options;
        self
    }

    /// The owner's cart; the empty one, at version 0, if there is none. Never creates one.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn get(&self, owner: &Owner) -> Result<Cart, Error> {
        let cart = self.repeat(|| self.store.get(owner)).await?;
        Ok(cart.unwrap_or_else(|| Cart::empty(owner.clone())))
    }

    /// Adds `quantity` pieces. However many calls run at once, each counts, and counts once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for 0 or more than `i32::MAX` pieces, and those of [`apply`](Self::apply).
    pub async fn add(&self, owner: &Owner, item: impl Into<Item>, quantity: u32) -> Result<Applied, Error> {
        let delta = i32::try_from(quantity).map_err(|_| Error::Invalid("a quantity is at most 2147483647"))?;
        self.apply(owner, &[Command::Add { item: item.into(), delta }]).await
    }

    /// Sets the quantity of a line; 0 removes it.
    ///
    /// # Errors
    /// [`Error::UnknownLine`] if the cart does not hold it, and those of [`apply`](Self::apply).
    pub async fn set(&self, owner: &Owner, key: &LineKey, quantity: u32) -> Result<Applied, Error> {
        self.apply(owner, &[Command::Set { key: key.clone(), quantity }]).await
    }

    /// Has a line take part in the checkout, or not.
    ///
    /// # Errors
    /// [`Error::UnknownLine`] if the cart does not hold it, and those of [`apply`](Self::apply).
    pub async fn check(&self, owner: &Owner, key: &LineKey, checked: bool) -> Result<Applied, Error> {
        self.apply(owner, &[Command::Check { key: key.clone(), checked }]).await
    }

    /// Has all lines take part in the checkout, or none.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub async fn check_all(&self, owner: &Owner, checked: bool) -> Result<Applied, Error> {
        self.apply(owner, &[Command::CheckAll { checked }]).await
    }

    /// Removes a line, if it is there.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub async fn remove(&self, owner: &Owner, key: &LineKey) -> Result<Applied, Error> {
        self.apply(owner, &[Command::Remove { key: key.clone() }]).await
    }

    /// Removes all lines.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub async fn clear(&self, owner: &Owner) -> Result<Applied, Error> {
        self.apply(owner, &[Command::Clear]).await
    }

    /// Carries out a batch, all of it or nothing, under an operation id made here, and repeats what may be repeated: after
    /// a lost answer the same operation is sent again, so that the batch counts once.
    ///
    /// Changes of one cart through this service take turns, so that a repeat finds its operation still remembered. With
    /// more than [`Ring::SIZE`](crate::Ring::SIZE) other processes changing the cart between a lost answer and its repeat
    /// the outcome can stay unknown, and is then reported, never guessed.
    ///
    /// # Errors
    /// [`Error::UnknownLine`], [`Error::Limit`], [`Error::Invalid`] and [`Error::Sealed`]: nothing was changed.
    /// [`Error::OutcomeUnknown`] or an [`Error::Backend`] of class `Unknown`: the batch may have been carried out.
    ///
    /// # Cancel safety
    /// A call that is dropped while it waits for the store may or may not have been carried out.
    #[tracing::instrument(name = "onceward.cart.apply", level = "debug", skip_all, fields(commands = batch.len()))]
    pub async fn apply(&self, owner: &Owner, batch: &[Command]) -> Result<Applied, Error> {
        let mut turn = self.turns.enter(owner).await;
        let id = OperationId::random();
        let mut seen = turn.seen();
        let mut in_doubt = false;
        let (mut failures, mut overtaken) = (0, 0);
        let outcome = loop {
            let change = self.change(owner).with_operation(Some(Operation { id, seen_version: seen }));
            match self.store.apply(owner, batch, &change).await {
                // Never sent with an unknown outcome: it was not applied, so the version read now is one seen before.
                Err(Error::StaleOp { current }) if !in_doubt && overtaken < OVERTAKEN => {
                    seen = current;
                    overtaken += 1;
                }
                Err(Error::StaleOp { .. }) => {
                    break Err(if in_doubt { Error::OutcomeUnknown } else { Error::Contended });
                }
                Err(error) if error.is_retryable() || error.is_outcome_unknown() => {
                    in_doubt |= error.is_outcome_unknown();
                    failures += 1;
                    if !self.options.retry.allows(failures) {
                        break Err(if in_doubt && !error.is_outcome_unknown() { Error::OutcomeUnknown } else { error });
                    }
                    self.pause(failures).await;
                }
                done => break done,
            }
        };
        if let Ok(applied) = &outcome {
            turn.saw(applied.version);
        }
        metrics::counter!("onceward_cart_changes_total", "outcome" => label(&outcome)).increment(1);
        outcome
    }

    /// Carries out a batch in one try, at a version that the caller expects or under an operation that the caller made (a
    /// browser, for one), or both.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply), [`Error::Conflict`] and [`Error::StaleOp`].
    pub async fn apply_as(
        &self,
        owner: &Owner,
        batch: &[Command],
        expect: Option<u32>,
        operation: Option<Operation>,
    ) -> Result<Applied, Error> {
        let change = self.change(owner).with_expect(expect).with_operation(operation);
        let outcome = self.store.apply(owner, batch, &change).await;
        metrics::counter!("onceward_cart_changes_total", "outcome" => label(&outcome)).increment(1);
        outcome
    }

    /// Takes out what an order bought, as far as it is still in the cart. What was added since stays. Repeat it as often as
    /// you like: it has its effect once per order id while the mark lives, 30 days unless set.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the guest's cart was merged into a member's: take it out there.
    #[tracing::instrument(name = "onceward.cart.take", level = "debug", skip_all)]
    pub async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought]) -> Result<Taken, Error> {
        self.repeat(|| self.store.take(owner, order, lines, self.options.mark_ttl)).await
    }

    /// Removes the cart and all that is remembered about it. False if there was none.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn delete(&self, owner: &Owner) -> Result<bool, Error> {
        self.repeat(|| self.store.delete(owner)).await
    }

    /// Drops some of what has expired, and answers how much: call it now and then, from a worker.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn purge(&self) -> Result<u64, Error> {
        self.store.purge(PURGE).await
    }

    /// Whether the store answers, for a readiness check.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn health(&self) -> Result<(), Error> {
        self.store.health().await
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn change(&self, owner: &Owner) -> Change {
        Change::default().with_limits(self.options.limits).with_ttl(self.ttl(owner))
    }

    fn ttl(&self, owner: &Owner) -> Option<Duration> {
        if owner.is_member() { self.options.member_ttl } else { self.options.guest_ttl }
    }

    /// Repeats a call that is safe to repeat, whatever became of it.
    async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failures = 0;
        loop {
            match call().await {
                Err(error) if error.is_retryable() || error.is_outcome_unknown() => {
                    failures += 1;
                    if !self.options.retry.allows(failures) {
                        return Err(error);
                    }
                    self.pause(failures).await;
                }
                done => return done,
            }
        }
    }

    async fn pause(&self, failures: u32) {
        metrics::counter!("onceward_cart_repeats_total").increment(1);
        tokio::time::sleep(self.options.retry.delay(failures, random_unit())).await;
    }
}

fn label(outcome: &Result<Applied, Error>) -> &'static str {
    match outcome {
        Ok(applied) if applied.replayed => "replayed",
        Ok(applied) if applied.changed => "changed",
        Ok(_) => "unchanged",
        Err(Error::Invalid(_) | Error::UnknownLine { .. } | Error::Limit(_)) => "refused",
        Err(Error::Sealed { .. }) => "sealed",
        Err(Error::Conflict { .. } | Error::StaleOp { .. }) => "conflict",
        Err(error) if error.is_outcome_unknown() => "unknown",
        Err(_) => "failed",
    }
}

/// How often a change may find that the cart moved on by more than it remembers since its version was read.
const OVERTAKEN: u32 = 100;
/// How many carts one purge drops at most: well within a statement's time-out.
const PURGE: u32 = 500;
