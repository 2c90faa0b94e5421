//! The merge of a guest's cart into a member's, and taking out what was bought: pure rules and their answers.
//!
//! Two carts seldom live on one shard, so a merge is three steps, each atomic on one cart and safe to repeat: *seal* the
//! guest's, *absorb* its lines into the member's once per merge id, *tombstone* the guest's.

use crate::cart::Record;
use crate::error::Error;
use crate::types::{Bought, Clamped, Limits, Line, MemberId, MergeId, MergeReport, Seal, Sealing, Stage, Taken};

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
