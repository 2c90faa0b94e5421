//! The shop's outside: every row of its HTTP contract and its commands, against the program itself.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests unwrap and spawn their visitors")]
#![allow(unreachable_pub, missing_debug_implementations, dead_code, reason = "modules of one test program")]

#[path = "../support/embedded.rs"]
mod place;
#[path = "../support/shop.rs"]
mod support;

mod apart;
mod callback;
mod cart;
mod catalogue;
mod checkout;
mod commands;
mod csrf;
mod demos;
mod forms;
mod framework;
mod login;
mod merging;
mod orders;
mod races;
mod random;
mod restart;
mod session;
mod verify;
