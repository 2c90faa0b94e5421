//! How much of a batch is on its way to a broker at once.

use crate::{broker::Outcome, message::Envelope};

/// All that is unconfirmed is in memory, and clients look confirms up one by one.
const WINDOW: usize = 500;
const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// A batch that is published window by window, up to the first of which a message is in doubt: what comes after would pass
/// it.
pub(super) struct Windows<'a> {
    batch: &'a [Envelope],
    outcomes: Vec<Outcome>,
    doubtful: bool,
}

impl<'a> Windows<'a> {
    pub(super) fn of(batch: &'a [Envelope]) -> Self {
        Self { batch, outcomes: Vec::with_capacity(batch.len()), doubtful: false }
    }

    /// What is to be sent now; `None` when there is nothing more, or nothing more may be.
    pub(super) fn next(&self) -> Option<&'a [Envelope]> {
        let rest = self.batch.get(self.outcomes.len()..).filter(|rest| !rest.is_empty() && !self.doubtful)?;
        Some(&rest[..fitting(rest)])
    }

    /// The outcomes of what `next` gave, one for each.
    pub(super) fn told(&mut self, outcomes: Vec<Outcome>) {
        self.doubtful |= outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unknown { .. }));
        self.outcomes.extend(outcomes);
    }

    /// One outcome for each message of the batch.
    pub(super) fn outcomes(mut self) -> Vec<Outcome> {
        self.outcomes.resize_with(self.batch.len(), || unknown("not sent, others were not acknowledged"));
        self.outcomes
    }
}

/// How many messages make the next window; one at least.
fn fitting(rest: &[Envelope]) -> usize {
    let mut bytes = 0;
    let fits = |envelope: &&Envelope| {
        bytes += envelope.payload().len();
        bytes <= WINDOW_BYTES
    };
    rest.iter().take(WINDOW).take_while(fits).count().max(1)
}

pub(super) fn unknown(reason: impl Into<String>) -> Outcome {
    Outcome::Unknown { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, MessageId};

    fn batch(sizes: impl IntoIterator<Item = usize>) -> Vec<Envelope> {
        let envelope = |(n, size): (usize, usize)| {
            let message = Message::to("topic").payload(vec![0; size]).unwrap();
            Envelope::new(MessageId::parse(n.to_string()).unwrap(), message, 1)
        };
        sizes.into_iter().enumerate().map(envelope).collect()
    }

    #[test]
    fn a_batch_goes_in_windows_of_bounded_count_and_bytes() {
        let lengths = |batch: &[Envelope]| {
            let (mut windows, mut lengths) = (Windows::of(batch), Vec::new());
            while let Some(window) = windows.next() {
                lengths.push(window.len());
                windows.told(vec![Outcome::Accepted; window.len()]);
            }
            assert_eq!(windows.outcomes(), vec![Outcome::Accepted; batch.len()]);
            lengths
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&batch(vec![1; WINDOW * 2 + 1])), [WINDOW, WINDOW, 1]);
        assert_eq!(lengths(&batch(vec![WINDOW_BYTES / 8; 9])), [8, 1]);
    }

    #[test]
    fn nothing_is_sent_behind_a_doubt() {
        let batch = batch(vec![1; WINDOW * 2]);
        let mut windows = Windows::of(&batch);
        let first = windows.next().unwrap();
        let mut told = vec![Outcome::Accepted; first.len()];
        told[0] = unknown("no word");
        windows.told(told);
        assert_eq!(windows.next(), None);
        let outcomes = windows.outcomes();
        assert_eq!((outcomes.len(), &outcomes[1]), (batch.len(), &Outcome::Accepted));
        assert_eq!(outcomes[WINDOW], unknown("not sent, others were not acknowledged"));
    }
}
