//! What a store of carts must do, and the stores that come with the crate.

mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use memory::MemoryStore;
#[cfg(feature = "mysql")]
pub use sql::MySqlStore;
#[cfg(feature = "postgres")]
pub use sql::PostgresStore;
#[cfg(feature = "sql")]
pub use sql::SqlStore;
#[cfg(feature = "sqlite")]
pub use sql::SqliteStore;

use crate::error::Error;
use crate::types::{
    Applied, Bought, Cart, Change, Command, GuestId, Limits, Line, MemberId, MergeId, MergeReport, MergeTtl, OrderId,
    Owner, Sealing, Taken, Unfinished,
};

/// Where carts are kept. Every method is one atomic change of one cart, or none; the rules are those of
/// [`Record`](crate::Record).
///
/// A method that fails with a backend error of class `Unknown` may have taken effect. All but `apply` without an operation
/// may be repeated then.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// What this store can do and promise.
    fn capabilities(&self) -> Capabilities;

    /// The cart, or none if nobody changed it yet. Never creates one.
    async fn get(&self, owner: &Owner) -> Result<Option<Cart>, Error>;

    /// Carries out a batch, all of it or nothing, as [`Record::apply`](crate::Record::apply) says. A batch that changes
    /// nothing writes nothing. The cart lives for `change.ttl` from then on.
    ///
    /// # Errors
    /// Those of `Record::apply`, and [`Error::Contended`].
    async fn apply(&self, owner: &Owner, batch: &[Command], change: &Change) -> Result<Applied, Error>;

    /// Seals the guest's cart for a merge into the member's, or answers what it is sealed for already. Creates a settled
    /// record if there is no cart, so that a late write is not lost.
    ///
    /// # Errors
    /// [`Error::Sealed`] if it is sealed for another member.
    async fn seal(&self, guest: &GuestId, into: &MemberId, merge: MergeId, ttl: MergeTtl) -> Result<Sealing, Error>;

    /// Adds `lines` to the member's cart once per merge, as [`Record::absorb`](crate::Record::absorb) says, and keeps the
    /// report for `absorb.mark_ttl`: a repeat is answered with it.
    async fn absorb(&self, member: &MemberId, lines: &[Line], absorb: &Absorb) -> Result<MergeReport, Error>;

    /// Ends the merge of a sealed guest cart. The record keeps its lines for `ttl`. Nothing to do if there is no cart, it is
    /// sealed for another merge or tombstoned already.
    async fn tombstone(&self, guest: &GuestId, merge: MergeId, ttl: Duration) -> Result<(), Error>;

    /// Takes a tombstoned guest cart off the list of [`unfinished`](Self::unfinished) merges.
    async fn settle(&self, guest: &GuestId, merge: MergeId) -> Result<(), Error>;

    /// Guest carts that have been sealed for at least `sealed` or tombstoned for at least `tombstoned`, up to about `limit`
    /// of them.
    async fn unfinished(&self, sealed: Duration, tombstoned: Duration, limit: u32) -> Result<Vec<Unfinished>, Error>;

    /// Takes out what an order bought, once per order, as [`Record::take`](crate::Record::take) says, and keeps the answer
    /// for `mark_ttl`: a repeat is answered with it. Never creates a cart.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the cart was merged into another.
    async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought], mark_ttl: Duration) -> Result<Taken, Error>;

    /// Removes the cart and all that is remembered about it: operations, merges, orders. False if there was no cart.
    async fn delete(&self, owner: &Owner) -> Result<bool, Error>;

    /// Drops up to about `limit` carts and as many marks that have expired; answers how many. Expired ones count as absent
    /// before that too. Answers 0 where the backend does it by itself.
    async fn purge(&self, limit: u32) -> Result<u64, Error>;

    /// One round trip that shows that the backend answers.
    async fn health(&self) -> Result<(), Error>;
}

/// How lines are to be absorbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Absorb {
    /// Which merge.
    pub merge: MergeId,
    /// What the member's cart may hold.
    pub limits: Limits,
    /// How long the member's cart lives from then on, if it is changed; for ever if none.
    pub ttl: Option<Duration>,
    /// How long the merge is remembered. Must exceed how long the guest's cart stays sealed or tombstoned.
    pub mark_ttl: Duration,
}

impl Absorb {
    /// For `merge`, with the limits, remembered for `mark_ttl`; the cart lives for ever.
    pub const fn new(merge: MergeId, limits: Limits, mark_ttl: Duration) -> Self {
        Self { merge, limits, ttl: None, mark_ttl }
    }

    /// Sets how long the member's cart lives from then on.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }
}

/// What a store can do and promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What an acknowledged change survives.
    pub durability: Durability,
    /// Whether other processes see the same carts.
    pub shared: bool,
    /// Whether carts expire.
    pub expires: bool,
    /// Whether carts can be merged.
    pub merges: bool,
    /// Whether orders can be taken out once.
    pub takes: bool,
}

impl Capabilities {
    /// A store that can do everything, with this durability, shared between processes.
    pub const fn full(durability: Durability) -> Self {
        Self { durability, shared: true, expires: true, merges: true, takes: true }
    }

    /// Sets whether other processes see the same carts.
    #[must_use]
    pub const fn with_shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Sets whether carts can be merged.
    #[must_use]
    pub const fn with_merges(mut self, merges: bool) -> Self {
        self.merges = merges;
        self
    }

    /// Sets whether carts expire.
    #[must_use]
    pub const fn with_expires(mut self, expires: bool) -> Self {
        self.expires = expires;
        self
    }

    /// Sets whether orders can be taken out once.
    #[must_use]
    pub const fn with_takes(mut self, takes: bool) -> Self {
        self.takes = takes;
        self
    }
}

/// What an acknowledged change survives, with the backend set up as its documentation here says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is gone with the process.
    Process,
    /// The death of this process, and that of the server's process; how much of a power failure is up to the server.
    Backend,
}

/// Milliseconds since the Unix epoch by this machine's clock: the age of lines, never a lease.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
