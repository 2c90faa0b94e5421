//! The operations that a cart remembers.

use crate::types::OperationId;

/// The last operations of a cart, each with the version that it made, and the version below which an unknown operation is
/// too old to tell.
///
/// Remembering ids alone is not enough: a repeat that comes after its id was pushed out would be taken for new. So an
/// operation carries the version that its sender saw before the first sending. If it was applied and forgotten, that
/// version lies below the one before the oldest remembered operation, and it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// The newest first.
    pub(crate) entries: Vec<(OperationId, u32)>,
    /// The version before the oldest remembered operation.
    pub(crate) floor: u32,
}

impl Ring {
    /// How many operations are remembered. 6 × 9 bytes and the versions stay within the 64 bytes up to which Redis keeps a
    /// small hash compact.
    pub const SIZE: usize = 6;
    /// Versions are kept as one-byte distances; an operation further back from its successor is forgotten.
    pub(crate) const REACH: u32 = 255;

    /// The version that the operation made, if it is remembered.
    pub fn version_of(&self, id: OperationId) -> Option<u32> {
        self.entries.iter().find(|(held, _)| *held == id).map(|(_, version)| *version)
    }

    /// True if an operation that is not remembered may have been applied and forgotten: its sender saw a version older than
    /// the oldest remembered operation, or one that this cart, created anew since, has not come to yet.
    pub const fn is_stale(&self, seen: u32, current: u32) -> bool {
        seen < self.floor || seen > current
    }

    /// Notes that the cart came to `version`, by `operation` if it had an id.
    pub fn advance(&mut self, version: u32, operation: Option<OperationId>) {
        if let Some(id) = operation {
            self.entries.insert(0, (id, version));
            self.entries.truncate(Self::SIZE);
        }
        let mut newer = version;
        let near = self.entries.iter().take_while(|(_, made)| {
            let reached = newer - made <= Self::REACH;
            newer = *made;
            reached
        });
        let near = near.count();
        if let Some((_, forgotten)) = self.entries.get(near).filter(|_| near == 0) {
            self.floor = *forgotten;
        }
        self.entries.truncate(near);
        if let Some((_, oldest)) = self.entries.last() {
            self.floor = oldest - 1;
        }
    }
}
