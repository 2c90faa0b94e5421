//! How a cart is changed: commands, operations, limits, answers.

use serde::{Deserialize, Serialize};

use super::{LineKey, PriceHint, Sku, random, stable_hash};
use crate::error::{Error, Exceeded, LimitKind};

/// The most commands that one batch may hold.
pub(crate) const MAX_BATCH: usize = 1_000;

/// What is added to a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is sold.
    pub sku: Sku,
    /// The price that the page showed.
    pub price_hint: Option<PriceHint>,
}

impl Item {
    /// An item without a price.
    pub const fn new(sku: Sku) -> Self {
        Self { sku, price_hint: None }
    }

    /// The same item with the price that the page showed.
    #[must_use]
    pub const fn with_price_hint(mut self, hint: PriceHint) -> Self {
        self.price_hint = Some(hint);
        self
    }
}

impl From<Sku> for Item {
    fn from(sku: Sku) -> Self {
        Self::new(sku)
    }
}

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Adds `delta` pieces, on a new checked line if there is none. A negative delta takes pieces away; a line that comes to
    /// nothing is removed.
    Add {
        /// What.
        item: Item,
        /// How many more; not 0.
        delta: i32,
    },
    /// Sets the quantity of a line that is there; 0 removes it.
    Set {
        /// Which line.
        key: LineKey,
        /// How many.
        quantity: u32,
    },
    /// Has a line that is there take part in the checkout, or not.
    Check {
        /// Which line.
        key: LineKey,
        /// Whether it takes part.
        checked: bool,
    },
    /// Has all lines take part in the checkout, or none.
    CheckAll {
        /// Whether they take part.
        checked: bool,
    },
    /// Removes a line, if it is there.
    Remove {
        /// Which line.
        key: LineKey,
    },
    /// Removes all lines.
    Clear,
}

/// What one batch may be, whatever the cart holds.
pub(crate) fn check_batch(batch: &[Command]) -> Result<(), Error> {
    if batch.len() > MAX_BATCH {
        return Err(Error::Limit(Exceeded::new(LimitKind::Batch, MAX_BATCH as u64, batch.len() as u64)));
    }
    if batch.iter().any(|command| matches!(command, Command::Add { delta: 0, .. })) {
        return Err(Error::Invalid("a quantity of 0 cannot be added"));
    }
    Ok(())
}

/// Names one change, so that sending it again does not change the cart again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId([u8; 8]);

impl OperationId {
    /// A new operation.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn random() -> Self {
        Self(random())
    }

    /// The operation that a text names, such as a UUID which the browser made: its 64-bit FNV-1a hash. Two texts that
    /// collide are one operation, of one cart.
    pub fn of(text: &str) -> Self {
        Self(stable_hash(text.as_bytes()).to_be_bytes())
    }

    /// An operation by its 8 bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its 8 bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl std::fmt::Debug for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperationId({:016x})", u64::from_be_bytes(self.0))
    }
}

/// An operation: its id, and the version of the cart that its sender saw before it was sent for the first time. A repeat
/// carries the same two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which operation.
    pub id: OperationId,
    /// The version seen before the first sending. Any lower version is correct too, but is sooner too old.
    pub seen_version: u32,
}

/// What a cart may hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pieces of one line; at least 1, 999 unless set.
    pub max_quantity: u32,
    /// Lines of one cart; at most 500, 200 unless set.
    pub max_lines: u32,
    /// What becomes of a command that exceeds them.
    pub on_excess: OnExcess,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_quantity: 999, max_lines: 200, on_excess: OnExcess::Reject }
    }
}

impl Limits {
    /// Redis keeps a hash compact up to 512 fields.
    const MOST_LINES: u32 = 500;

    /// Sets the most pieces of one line; 0 counts as 1.
    #[must_use]
    pub const fn with_max_quantity(mut self, pieces: u32) -> Self {
        self.max_quantity = pieces;
        self
    }

    /// Sets the most lines of one cart; more than 500 counts as 500.
    #[must_use]
    pub const fn with_max_lines(mut self, lines: u32) -> Self {
        self.max_lines = lines;
        self
    }

    /// Sets what becomes of a command that exceeds a limit.
    #[must_use]
    pub const fn with_on_excess(mut self, policy: OnExcess) -> Self {
        self.on_excess = policy;
        self
    }

    pub(crate) fn quantity(&self) -> u32 {
        self.max_quantity.max(1)
    }

    pub(crate) fn lines(&self) -> u32 {
        self.max_lines.min(Self::MOST_LINES)
    }
}

/// What becomes of a command that exceeds a limit. A merge always clamps: it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExcess {
    /// The whole batch is refused with [`Error::Limit`].
    Reject,
    /// As much as fits is kept; the answer's notes say what was not.
    Clamp,
}

/// The answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The version after the batch; for a replay, the version after it was applied the first time.
    pub version: u32,
    /// False if the batch left the cart as it was; the version is then the old one.
    pub changed: bool,
    /// True if the operation had been applied before and nothing was changed now. The notes of the first time are gone.
    pub replayed: bool,
    /// What was cut down to a limit.
    pub notes: Vec<Clamped>,
}

impl Applied {
    /// A batch that was carried out now.
    pub const fn new(version: u32, changed: bool, notes: Vec<Clamped>) -> Self {
        Self { version, changed, replayed: false, notes }
    }

    /// A batch that had been carried out before.
    pub const fn replay(version: u32) -> Self {
        Self { version, changed: true, replayed: true, notes: Vec::new() }
    }
}

/// A line that was cut down to a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamped {
    /// Which line.
    pub key: LineKey,
    /// How many it would have come to.
    pub asked: u64,
    /// How many it came to; 0 if the cart had no room for another line.
    pub kept: u32,
}
