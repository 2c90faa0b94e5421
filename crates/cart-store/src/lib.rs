#![doc = include_str!("../README.md")]

mod cart;
mod carts;
mod error;
mod merge;
pub mod store;
mod types;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use async_trait::async_trait;
pub use cart::{Record, Ring};
pub use carts::{CartOptions, Carts, MergeSweep};
pub use error::{Error, Exceeded, LimitKind};
pub use merge::{Bought, MergeReport, MergeTtl, Seal, Sealing, Stage, Taken, Unfinished};
pub use store::{Absorb, Capabilities, Durability, Store};
pub use types::{
    Applied, Cart, Change, Clamped, Command, GuestId, Item, Limits, Line, LineKey, MemberId, MergeId, OnExcess,
    Operation, OperationId, OrderId, Owner, PriceHint, Sku,
};
