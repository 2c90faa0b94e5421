//! The rules of a cart, pure: what each command does to the state that a store keeps.

mod commands;
pub(crate) mod pack;
mod ring;

use std::collections::BTreeMap;

pub use ring::Ring;

use crate::error::Error;
use crate::types::{Applied, Cart, Change, Command, Line, LineKey, Owner, Seal, Stage, check_batch};

/// The whole state of one cart, as a store keeps it, with the rules by which it changes. No clock, no randomness, no IO.
///
/// A store that can compare and set loads the bytes, calls one method and writes the bytes back; the memory and the SQL
/// stores are that. The default value is the cart that nobody changed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub(crate) version: u32,
    pub(crate) ring: Ring,
    pub(crate) lines: BTreeMap<LineKey, Line>,
    pub(crate) seal: Option<Seal>,
}

impl Record {
    /// The cart as its owner may see it.
    pub fn cart(&self, owner: Owner) -> Cart {
        let gone = self.seal.as_ref().is_some_and(|seal| seal.stage != Stage::Sealed);
        let lines = if gone { Vec::new() } else { self.lines.values().cloned().collect() };
        Cart::new(owner, self.version, lines, self.seal.clone())
    }

    /// Carries out a batch, all of it or nothing, at `now` (milliseconds since the Unix epoch).
    ///
    /// In this order: an operation that the cart remembers is answered again; one too old to tell is
    /// [`StaleOp`](Error::StaleOp); a sealed cart refuses; another version than expected is a
    /// [`Conflict`](Error::Conflict); else the commands run one after the other.
    ///
    /// # Errors
    /// As above, and [`UnknownLine`](Error::UnknownLine), [`Limit`](Error::Limit) or [`Invalid`](Error::Invalid) for the
    /// first command that cannot be carried out. The record is then as it was.
    pub fn apply(&mut self, batch: &[Command], change: &Change, now: u64) -> Result<Applied, Error> {
        check_batch(batch)?;
        if let Some(operation) = change.operation {
            if let Some(version) = self.ring.version_of(operation.id) {
                return Ok(Applied::replay(version));
            }
            if self.ring.is_stale(operation.seen_version, self.version) {
                return Err(Error::StaleOp { current: self.version });
            }
        }
        if let Some(seal) = &self.seal {
            return Err(Error::Sealed { into: seal.into.clone() });
        }
        if change.expect.is_some_and(|expected| expected != self.version) {
            return Err(Error::Conflict { current: self.version });
        }
        let done = commands::run(&self.lines, batch, &change.limits, now)?;
        if done.changed {
            self.lines = done.lines;
            self.advance(change.operation.map(|operation| operation.id));
        }
        Ok(Applied::new(self.version, done.changed, done.notes))
    }

    pub(crate) fn advance(&mut self, operation: Option<crate::types::OperationId>) {
        self.version = self.version.saturating_add(1);
        self.ring.advance(self.version, operation);
    }
}

#[cfg(test)]
mod tests;
