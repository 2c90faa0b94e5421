//! Which locks a branch needs for the rows it changed.

use std::collections::BTreeSet;

use super::capture::AtDb;
use super::catalog::Table;
use super::connection::Done;
use super::image::{Cell, Row};
use super::key::{Part, hashed, text};
use crate::tc::lock::LockKey;

/// The rows that were `read` to be locked, the primary key of every changed row, and every value of a unique key that appeared
/// or disappeared: another transaction that took such a value would make the undo impossible.
pub(super) fn locks<D: AtDb>(resource_id: &str, done: &[Done], read: BTreeSet<LockKey>) -> Vec<LockKey> {
    let mut locks = read;
    let mut add = |table: &str, key: String| {
        locks.insert(LockKey { resource_id: resource_id.to_owned(), table: table.to_owned(), key });
    };
    for Done { step, table, keys } in done {
        keys.iter().for_each(|key| add(&table.locked_as, key.clone()));
        for change in &step.changes {
            if let Some(row) = change.any() {
                add(&table.locked_as, key_text::<D>(table, &step.key_of(row)));
            }
            for unique in &table.uniques {
                let value = |row: &Row| -> Option<Vec<Part>> {
                    let cell = |at: usize| row.get(at).filter(|cell: &&Cell| !cell.is_null());
                    // A null is equal to nothing, so such a row has no value of this key.
                    unique.columns.iter().map(|&(at, how)| cell(at).map(|cell| D::fold(table, at, cell, how))).collect()
                };
                let [before, after] = [&change.before, &change.after].map(|image| image.as_ref().and_then(value));
                if before != after {
                    for parts in [before, after].into_iter().flatten() {
                        add(&table.locked_as, format!("{}{}", unique.name, hashed(&parts)));
                    }
                }
            }
        }
    }
    locks.into_iter().collect()
}

/// The text of a primary key, as its lock and the lists for people have it.
pub(super) fn key_text<D: AtDb>(table: &Table, key: &[Cell]) -> String {
    text(&table.key.iter().zip(key).map(|(&at, cell)| D::part(table, at, cell)).collect::<Vec<_>>())
}
