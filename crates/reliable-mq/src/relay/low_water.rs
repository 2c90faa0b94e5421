//! How far a lane need not be read again.
//!
//! What was sent is deleted, and a database walks over what was deleted until it has cleaned up, which a transaction that
//! stays open anywhere keeps it from. So a relay reads a lane from its low water on: no message at or below it is still to come.
//!
//! Sequences are given at the insert and seen at the commit, so the highest one that was read says nothing about those below.
//! It becomes the low water when every transaction has ended that might have had one of them then, and a read that began
//! after that has found no more of them, or they are settled. Where a store cannot name such transactions, a lane is read from
//! its start.
//!
//! A message can be late all the same, if its sequence was taken before its transaction began to write. A sweep, a
//! read from the start, finds it.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::Writers;

/// How often the low water is looked after, and lanes are swept, at most.
pub(super) const LOOK: Duration = Duration::from_millis(50);
const SWEEP: Duration = Duration::from_millis(500);
/// A sweep takes no more than this part of a relay's time.
const SWEEP_SHARE: u32 = 20;

#[derive(Debug)]
pub(super) struct LowWater {
    low: i64,
    /// The highest sequence that was read.
    high: i64,
    rising: Option<Rising>,
    sweep: Instant,
}

#[derive(Debug)]
struct Rising {
    to: i64,
    /// Who was writing when it had been read; nobody, once they have all ended.
    writers: Writers,
}

impl LowWater {
    pub(super) fn new() -> Self {
        Self { low: 0, high: 0, rising: None, sweep: Instant::now() + SWEEP }
    }

    /// Where to read from.
    pub(super) fn after(&self) -> i64 {
        if self.is_sweep() { 0 } else { self.low }
    }

    fn is_sweep(&self) -> bool {
        self.sweep <= Instant::now()
    }

    /// Something at or below the low water may have become free: the next read begins at the start.
    pub(super) fn fall(&mut self) {
        self.low = 0;
        self.rising = None;
    }

    /// Whether it wants to know who writes.
    pub(super) fn wants_writers(&self) -> bool {
        self.high > self.low
    }

    /// Who writes now, asked before the next read.
    pub(super) fn look(&mut self, writers: &Writers) {
        if let Some(rising) = &mut self.rising {
            rising.writers.retain(|writer| writers.contains(writer));
        } else if self.wants_writers() {
            self.rising = Some(Rising { to: self.high, writers: writers.clone() });
        }
    }

    /// What came of a read.
    pub(super) fn read(&mut self, read: &Read) {
        if read.after == 0 {
            self.sweep = Instant::now() + SWEEP.max(read.took * SWEEP_SHARE);
        }
        let over =
            |rising: &mut Rising| rising.writers.is_empty() && read.settled && (!read.cut || read.last >= rising.to);
        if let Some(rising) = self.rising.take_if(over) {
            self.low = self.low.max(rising.to);
        }
        self.high = self.high.max(read.last);
    }
}

/// A read of one lane, and what became of its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// Behind which sequence it began.
    pub(super) after: i64,
    /// How long it took.
    pub(super) took: Duration,
    /// The highest sequence that came.
    pub(super) last: i64,
    /// Whether there may be more behind that.
    pub(super) cut: bool,
    /// Whether all that came is sent, waits for its retry, or is given up.
    pub(super) settled: bool,
}

#[cfg(test)]
mod tests;
