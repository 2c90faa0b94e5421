//! The record of a claim and what may happen to it: plain functions over plain data, without a clock.
//!
//! ```text
//!            spend / claim                    complete
//!  Issued ───────────────────▶ Claimed ───────────────────▶ Done
//!    ▲                          │  ▲
//!    └────── release ───────────┘  └─ lease over, same fingerprint: taken over, attempt + 1
//! ```
//! Keys and contents start at `Claimed` and are absent after a release; tokens start at `Issued`.

#[cfg(feature = "redis")]
pub(crate) mod codec;

use std::time::Duration;

use crate::{Fingerprint, Owner};

/// How far a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A token that waits to be spent.
    Issued,
    /// Somebody works on it, for as long as the lease lasts.
    Claimed,
    /// It is done; the result is kept for a while.
    Done,
}

/// A record as it stands at one moment: durations instead of times, so that no two clocks are ever compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How far it is.
    pub state: State,
    /// How often it was claimed.
    pub attempt: u32,
    /// Whether the latest claim took over from one that vanished.
    pub takeover: bool,
    /// Who claimed it last.
    pub owner: Owner,
    /// What it is bound to.
    pub fingerprint: Fingerprint,
    /// What is left of a token's life.
    pub life: Duration,
    /// What is left of the lease; zero means that the claim is abandoned.
    pub lease: Duration,
    /// Whether a newer token of the same user counts instead, if this one is still unspent.
    pub superseded: bool,
    /// What the completed attempt left.
    pub result: Vec<u8>,
}

/// What somebody who asks for a record is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be claimed now.
    Take {
        /// An earlier attempt vanished while it held the claim.
        takeover: bool,
    },
    /// The asker holds it already: an earlier answer was lost.
    Mine,
    /// It is done.
    Done,
    /// Somebody works on it, at most this much longer without renewing.
    InFlight(Duration),
    /// A newer token counts.
    Superseded,
    /// Its life is over.
    Expired,
    /// It is bound to something else.
    Mismatch,
}

impl Record {
    /// Judges what `owner` is told who wants to claim the record for what `fingerprint` stands for.
    ///
    /// Done and in flight are told whatever the fingerprint is, since a cart is empty after its order. An abandoned claim
    /// may be taken over even past the token's life: its order may be half made.
    pub fn judge(&self, owner: &Owner, fingerprint: &Fingerprint) -> Verdict {
        match self.state {
            State::Done => Verdict::Done,
            State::Claimed if self.owner == *owner => Verdict::Mine,
            State::Claimed if !self.lease.is_zero() => Verdict::InFlight(self.lease),
            State::Claimed if self.fingerprint != *fingerprint => Verdict::Mismatch,
            State::Claimed => Verdict::Take { takeover: true },
            State::Issued if self.superseded => Verdict::Superseded,
            State::Issued if self.life.is_zero() => Verdict::Expired,
            State::Issued if self.fingerprint != *fingerprint => Verdict::Mismatch,
            State::Issued => Verdict::Take { takeover: false },
        }
    }

    /// Judges what `owner` is told who wants to be the first to process a content. A `mark` is done at once, so its owner
    /// asks for a done record when it repeats itself.
    pub fn judge_content(&self, owner: &Owner, mark: bool) -> Verdict {
        match self.state {
            State::Done if mark && self.owner == *owner => Verdict::Mine,
            _ => self.judge(owner, &self.fingerprint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Owner = Owner::from_bytes([1; 16]);
    const OTHER: Owner = Owner::from_bytes([2; 16]);
    const LEFT: Duration = Duration::from_secs(7);

    fn record(state: State, owner: Owner, life: Duration, lease: Duration, superseded: bool) -> Record {
        let fingerprint = Fingerprint::of("shown");
        Record { state, attempt: 1, takeover: false, owner, fingerprint, life, lease, superseded, result: Vec::new() }
    }

    /// Every state with every answer that depends on it.
    #[test]
    fn table_of_verdicts() {
        use State::{Claimed, Done, Issued};
        let (zero, shown, edited) = (Duration::ZERO, Fingerprint::of("shown"), Fingerprint::of("edited"));
        let table = [
            (Issued, OTHER, LEFT, zero, false, shown, Verdict::Take { takeover: false }),
            (Issued, OTHER, LEFT, zero, false, edited, Verdict::Mismatch),
            (Issued, OTHER, zero, zero, false, shown, Verdict::Expired),
            (Issued, OTHER, zero, zero, false, edited, Verdict::Expired),
            (Issued, OTHER, LEFT, zero, true, shown, Verdict::Superseded),
            (Issued, OTHER, zero, zero, true, edited, Verdict::Superseded),
            // Released by this very owner: it may claim again.
            (Issued, ME, LEFT, zero, false, shown, Verdict::Take { takeover: false }),
            (Claimed, OTHER, LEFT, LEFT, false, shown, Verdict::InFlight(LEFT)),
            (Claimed, OTHER, LEFT, LEFT, false, edited, Verdict::InFlight(LEFT)),
            (Claimed, OTHER, zero, LEFT, true, shown, Verdict::InFlight(LEFT)),
            (Claimed, OTHER, LEFT, zero, false, shown, Verdict::Take { takeover: true }),
            (Claimed, OTHER, zero, zero, false, shown, Verdict::Take { takeover: true }),
            (Claimed, OTHER, LEFT, zero, true, shown, Verdict::Take { takeover: true }),
            (Claimed, OTHER, LEFT, zero, false, edited, Verdict::Mismatch),
            (Claimed, ME, LEFT, LEFT, false, shown, Verdict::Mine),
            (Claimed, ME, zero, zero, true, shown, Verdict::Mine),
            (Done, OTHER, LEFT, zero, false, edited, Verdict::Done),
            (Done, ME, zero, zero, true, shown, Verdict::Done),
        ];
        for (at, (state, owner, life, lease, superseded, asked, verdict)) in table.into_iter().enumerate() {
            let record = record(state, owner, life, lease, superseded);
            assert_eq!(record.judge(&ME, &asked), verdict, "row {at}: {record:?}");
        }
    }
}
