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
pub use store::{Absorb, Capabilities, Durability, Store};
pub use types::{
    Applied, Bought, Cart, Change, Clamped, Command, GuestId, Item, Limits, Line, LineKey, MemberId, MergeId,
    MergeReport, MergeTtl, OnExcess, Operation, OperationId, OrderId, Owner, PriceHint, Seal, Sealing, Sku, Stage,
    Taken, Unfinished,
};
