//! The identity of row locks.

use sha2::{Digest, Sha256};

/// One row that a global transaction owns until it is decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey {
    /// The resource the row lives in.
    pub resource_id: String,
    /// The table, as its catalogue spells it.
    pub table: String,
    /// The key within the table: the primary key as text, or a typed hash of it.
    pub key: String,
}

impl LockKey {
    /// A fixed-length ASCII name for the store: no collation, no length limit and no separator can confuse two rows.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.resource_id, &self.table, &self.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex(&hash.finalize()[..16])
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(resource_id: &str, table: &str, key: &str) -> LockKey {
        LockKey { resource_id: resource_id.to_owned(), table: table.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn no_two_rows_share_an_id() {
        let keys = [key("a", "b", "c"), key("ab", "", "c"), key("", "ab", "c"), key("a", "bc", ""), key("a", "b", "C")];
        let ids: std::collections::HashSet<_> = keys.iter().map(LockKey::id).collect();
        assert_eq!(ids.len(), keys.len());
    }
}
