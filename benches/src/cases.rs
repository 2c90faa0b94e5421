//! The cases, a file per crate. Each has the bare driver sending the same commands as its first side.

pub mod cart_store;
pub mod dtx;
pub mod idempotency;
pub mod oauth_client;
pub mod reliable_mq;

mod bare;

use crate::case::Case;

/// All of them.
pub fn all() -> Vec<Case> {
    let crates = [idempotency::cases(), cart_store::cases(), reliable_mq::cases(), oauth_client::cases(), dtx::cases()];
    crates.into_iter().flatten().collect()
}
