//! Row images: what rows were before and after a statement, and their bytes in `rollback_info`.
//!
//! Values keep the driver's own representation behind a kind that each database defines for itself (0 is null
//! everywhere), so nothing is lost by a detour through text.

mod bytes;
mod codec;
pub(crate) mod record;

pub(crate) use codec::{decode, encode};

/// A value as the database stores it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// Which type, in the numbering of the database; 0 is null.
    pub(crate) kind: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Cell {
    pub(crate) const NULL: Self = Self { kind: 0, bytes: Vec::new() };

    pub(crate) const fn is_null(&self) -> bool {
        self.kind == 0
    }
}

/// The values of one row in the order of the step's columns.
pub(crate) type Row = Vec<Cell>;

/// What a statement did to its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

/// One row that a statement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
}

impl Change {
    /// The image that stands for the row's identity; keys do not change.
    pub(crate) fn any(&self) -> Option<&Row> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// One column before and after, of a row that was there before and after.
    pub(crate) fn cells(&self, at: usize) -> Option<(&Cell, &Cell)> {
        Some((self.before.as_ref()?.get(at)?, self.after.as_ref()?.get(at)?))
    }

    pub(crate) fn size(&self) -> usize {
        [&self.before, &self.after].into_iter().flatten().map(size).sum()
    }
}

/// About as much as an image takes.
pub(crate) fn size(row: &Row) -> usize {
    row.iter().map(|cell| cell.bytes.len() + 8).sum()
}

/// One captured statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) table: String,
    /// The number of the relation, which a table that was made anew under its name does not have; 0 where there is none.
    pub(crate) relation: u32,
    pub(crate) columns: Vec<String>,
    /// Positions of the primary key among the columns.
    pub(crate) key: Vec<usize>,
    /// Positions of the columns that the statement itself set, if it is an UPDATE: others followed by themselves.
    pub(crate) set: Vec<usize>,
    /// In the order in which the database changed them.
    pub(crate) changes: Vec<Change>,
}

impl Step {
    /// The primary key of a row.
    pub(crate) fn key_of(&self, row: &Row) -> Vec<Cell> {
        self.key.iter().map(|&at| row.get(at).cloned().unwrap_or(Cell::NULL)).collect()
    }
}

/// All that a branch changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Images {
    pub(crate) steps: Vec<Step>,
}

#[cfg(test)]
mod tests;
