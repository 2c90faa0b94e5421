//! What a merge and a purchase leave behind: seals, reports, what was bought and what was taken.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Clamped, GuestId, Line, LineKey, MemberId, MergeId};

/// How far the merge of a guest cart has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Sealed: its lines are still to be absorbed, or were and the tombstone is missing.
    Sealed,
    /// Absorbed. The lines are kept for a second look, in case the member's store lost what it acknowledged.
    Tombstoned,
    /// Nothing more to do.
    Settled,
}

/// Where a guest cart went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seal {
    /// Which merge.
    pub merge: MergeId,
    /// Into whose cart.
    pub into: MemberId,
    /// How far it has come.
    pub stage: Stage,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
}

impl Seal {
    /// A seal as a store holds it.
    pub const fn new(merge: MergeId, into: MemberId, stage: Stage, since: u64) -> Self {
        Self { merge, into, stage, since }
    }
}

/// The answer to sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealing {
    /// The merge that the cart is sealed for: the first one asked for.
    pub merge: MergeId,
    /// What the guest had, the oldest line first.
    pub lines: Vec<Line>,
    /// How far that merge has come.
    pub stage: Stage,
}

impl Sealing {
    /// A cart sealed for `merge`, which had `lines`.
    pub const fn new(merge: MergeId, lines: Vec<Line>, stage: Stage) -> Self {
        Self { merge, lines, stage }
    }
}

/// How long a guest cart stays after its merge began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeTtl {
    /// While sealed: how long the sweeper has to finish. 7 days.
    pub sealed: Duration,
    /// Once tombstoned: how long a late tab learns where the cart went. 24 hours.
    pub tombstoned: Duration,
}

impl Default for MergeTtl {
    fn default() -> Self {
        Self { sealed: Duration::from_hours(7 * 24), tombstoned: Duration::from_hours(24) }
    }
}

impl MergeTtl {
    /// Sets both times.
    pub const fn new(sealed: Duration, tombstoned: Duration) -> Self {
        Self { sealed, tombstoned }
    }
}

/// What a merge did to the member's cart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MergeReport {
    /// How many lines grew or came new.
    pub lines: u32,
    /// How many pieces came in all.
    pub quantity: u64,
    /// Lines that were cut down to the limits.
    pub clamped: Vec<Clamped>,
    /// The version of the member's cart after it; 0 if the guest had nothing.
    pub version: u32,
    /// True if the merge had been done before and nothing was changed now.
    pub replayed: bool,
}

impl MergeReport {
    /// The same report, given again.
    #[must_use]
    pub fn replay(mut self) -> Self {
        self.replayed = true;
        self
    }
}

/// A merge that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Whose cart is sealed.
    pub guest: GuestId,
    /// Into whose it goes.
    pub into: MemberId,
    /// [`Stage::Sealed`] or [`Stage::Tombstoned`].
    pub stage: Stage,
    /// For how long it has been at that stage.
    pub age: Duration,
}

impl Unfinished {
    /// The merge of a guest's cart into a member's, at its stage for `age`.
    pub const fn new(guest: GuestId, into: MemberId, stage: Stage, age: Duration) -> Self {
        Self { guest, into, stage, age }
    }
}

/// What an order bought of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bought {
    /// Which line.
    pub key: LineKey,
    /// How many.
    pub quantity: u32,
}

impl Bought {
    /// `quantity` pieces of the line `key`.
    pub const fn new(key: LineKey, quantity: u32) -> Self {
        Self { key, quantity }
    }
}

/// What left the cart for an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The version of the cart after it; 0 if there was no cart.
    pub version: u32,
    /// How many pieces left; fewer than were bought if the owner had removed some.
    pub quantity: u64,
    /// True if the order had been taken out before and nothing was changed now.
    pub replayed: bool,
}

impl Taken {
    /// The same answer, given again.
    #[must_use]
    pub const fn replay(mut self) -> Self {
        self.replayed = true;
        self
    }
}
