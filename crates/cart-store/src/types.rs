//! The vocabulary: owners, lines, commands, operations, limits.

mod change;
mod command;
mod line;
mod merging;
mod owner;

pub use change::Change;
pub(crate) use command::check_batch;
pub use command::{Applied, Clamped, Command, Item, Limits, OnExcess, Operation, OperationId};
pub use line::{Cart, Line, LineKey, PriceHint, Sku};
pub use merging::{Bought, MergeReport, MergeTtl, Seal, Sealing, Stage, Taken, Unfinished};
pub use owner::{GuestId, MemberId, MergeId, OrderId, Owner};

/// 64 bits of FNV-1a: stable across versions and machines, which the standard hasher is not.
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::expect_used, reason = "ids that could repeat would mix carts of different people")]
    getrandom::fill(&mut bytes).expect("the operating system has randomness to give");
    bytes
}
