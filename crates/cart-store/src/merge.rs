//! The merge of a guest's cart into a member's, and taking out what was bought: pure rules and their answers.
//!
//! Two carts seldom live on one shard, so a merge is three steps, each atomic on one cart and safe to repeat: *seal* the
//! guest's, *absorb* its lines into the member's once per merge id, *tombstone* the guest's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cart::Record;
use crate::error::Error;
use crate::types::{Clamped, GuestId, Limits, Line, LineKey, MemberId, MergeId};

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

impl Record {
    /// Seals a guest's cart for a merge at `now`. A cart without lines has nothing to absorb and is settled at once; it is
    /// kept all the same, so that a late tab learns where the cart went.
    ///
    /// # Errors
    /// [`Error::Sealed`] if it is sealed for another member.
    pub fn seal(&mut self, into: &MemberId, merge: MergeId, now: u64) -> Result<Sealing, Error> {
        let stage = if self.lines.is_empty() { Stage::Settled } else { Stage::Sealed };
        let seal = self.seal.get_or_insert_with(|| Seal::new(merge, into.clone(), stage, now));
        if seal.into != *into {
            return Err(Error::Sealed { into: seal.into.clone() });
        }
        let mut lines: Vec<_> = self.lines.values().cloned().collect();
        lines.sort_by(|a, b| (a.added_at, &a.key).cmp(&(b.added_at, &b.key)));
        Ok(Sealing::new(seal.merge, lines, seal.stage))
    }

    /// Where the cart goes or went, if it is sealed.
    pub const fn sealed(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    /// Moves the seal of this merge from the stage before to `stage` at `now`; false if it is not at the stage before.
    pub fn promote(&mut self, merge: MergeId, stage: Stage, now: u64) -> bool {
        let before = match stage {
            Stage::Sealed => return false,
            Stage::Tombstoned => Stage::Sealed,
            Stage::Settled => Stage::Tombstoned,
        };
        match &mut self.seal {
            Some(seal) if seal.merge == merge && seal.stage == before => {
                seal.stage = stage;
                seal.since = now;
                true
            }
            _ => false,
        }
    }

    /// Adds a guest's lines to a member's: quantities add up, a line is checked if one of the two was. The lines come in the
    /// order in which they claim the room that is left, and are cut down to the limits, whatever the policy says.
    ///
    /// # Errors
    /// [`Error::Sealed`] if this cart is itself sealed.
    pub fn absorb(&mut self, lines: &[Line], limits: &Limits) -> Result<MergeReport, Error> {
        if let Some(seal) = &self.seal {
            return Err(Error::Sealed { into: seal.into.clone() });
        }
        let mut report = MergeReport::default();
        let mut changed = false;
        for guest in lines {
            let full = self.lines.len() >= usize::try_from(limits.lines()).unwrap_or(usize::MAX);
            let held = self.lines.get(&guest.key);
            let quantity = held.map_or(0, |line| line.quantity);
            let asked = u64::from(quantity) + u64::from(guest.quantity);
            let most = if held.is_none() && full { 0 } else { limits.quantity().max(quantity) };
            let kept = u32::try_from(asked).map_or(most, |asked| asked.min(most));
            if u64::from(kept) < asked {
                report.clamped.push(Clamped { key: guest.key.clone(), asked, kept });
            }
            if kept == 0 {
                continue;
            }
            if kept > quantity {
                report.lines += 1;
                report.quantity += u64::from(kept - quantity);
                changed = true;
            }
            let line = self.lines.entry(guest.key.clone()).or_insert_with(|| Line { quantity: 0, ..guest.clone() });
            line.quantity = kept;
            changed |= guest.checked && !line.checked;
            line.checked |= guest.checked;
            if line.price_hint.is_none() && guest.price_hint.is_some() {
                line.price_hint = guest.price_hint;
                changed = true;
            }
        }
        if changed {
            self.advance(None);
        }
        report.version = self.version;
        Ok(report)
    }

    /// Takes out what was bought, as far as it is still there; lines that come to nothing go.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the cart was merged into another.
    pub fn take(&mut self, bought: &[Bought]) -> Result<Taken, Error> {
        if let Some(seal) = &self.seal {
            return Err(Error::Sealed { into: seal.into.clone() });
        }
        let mut quantity = 0;
        for bought in bought {
            if let Some(line) = self.lines.get_mut(&bought.key) {
                let gone = line.quantity.min(bought.quantity);
                line.quantity -= gone;
                quantity += u64::from(gone);
                if line.quantity == 0 {
                    self.lines.remove(&bought.key);
                }
            }
        }
        if quantity > 0 {
            self.advance(None);
        }
        Ok(Taken { version: self.version, quantity, replayed: false })
    }
}
