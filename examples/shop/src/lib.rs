//! A shop on the Onceward crates: log in over OAuth, fill a cart, order once, pay from a wallet, be notified once.
//!
//! One feature, one file: [`storefront`], [`cart`], [`login`], [`checkout`], [`orders`], [`stock`], [`wallet`],
//! [`notify`], [`users`], [`session`]. Each has a trait of what its tables answer, implemented once for every database;
//! [`stores`] opens what they live in, [`app`] puts them behind HTTP.

pub mod app;
pub mod body;
pub mod cart;
pub mod catalog;
pub mod checkout;
pub mod cli;
pub mod demo;
pub mod door;
pub mod folder;
pub mod form;
pub mod hold;
pub mod home;
pub mod login;
pub mod marks;
pub mod notify;
pub mod orders;
pub mod pages;
pub mod problem;
pub mod ready;
pub mod serve;
pub mod servers;
pub mod session;
pub mod stock;
pub mod storefront;
pub mod stores;
pub mod tables;
pub mod users;
pub mod verify;
pub mod visit;
pub mod wallet;
pub mod workers;

/// Microseconds since the epoch by this machine's clock: for what people read, never for a lease.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
