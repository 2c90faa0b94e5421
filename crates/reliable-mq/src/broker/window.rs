//! How much of a batch is on its way to a broker at once.

use crate::message::Envelope;

/// All that is unconfirmed is in memory, and clients look confirms up one by one.
const WINDOW: usize = 500;
const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// How many messages of the batch make the next window; one at least.
pub(super) fn window(batch: &[Envelope]) -> usize {
    let mut bytes = 0;
    let fits = |envelope: &&Envelope| {
        bytes += envelope.payload().len();
        bytes <= WINDOW_BYTES
    };
    batch.iter().take(WINDOW).take_while(fits).count().max(1)
}
