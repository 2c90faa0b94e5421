//! The shop's outside, on servers: the same rows.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests unwrap and spawn their visitors")]
#![allow(unreachable_pub, missing_debug_implementations, dead_code, reason = "modules of one test program")]

#[path = "../support/services.rs"]
mod place;
#[path = "../support/shop.rs"]
mod support;

#[path = "../contract/apart.rs"]
mod apart;
#[path = "../contract/callback.rs"]
mod callback;
#[path = "../contract/cart.rs"]
mod cart;
#[path = "../contract/catalogue.rs"]
mod catalogue;
#[path = "../contract/checkout.rs"]
mod checkout;
#[path = "../contract/commands.rs"]
mod commands;
#[path = "../contract/csrf.rs"]
mod csrf;
#[path = "../contract/demos.rs"]
mod demos;
#[path = "../contract/forms.rs"]
mod forms;
#[path = "../contract/framework.rs"]
mod framework;
#[path = "../contract/login.rs"]
mod login;
#[path = "../contract/merging.rs"]
mod merging;
#[path = "../contract/orders.rs"]
mod orders;
#[path = "../contract/races.rs"]
mod races;
#[path = "../contract/random.rs"]
mod random;
#[path = "../contract/restart.rs"]
mod restart;
mod servers;
#[path = "../contract/session.rs"]
mod session;
#[path = "../contract/verify.rs"]
mod verify;
