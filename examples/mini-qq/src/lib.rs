#![doc = include_str!("../README.md")]

mod answer;
mod api;
mod authorize;
mod avatar;
mod config;
mod error;
mod fault;
mod folder;
mod grants;
mod key;
mod page;
mod params;
mod request;
mod server;
mod stats;
mod token;

pub use config::{Client, Clock, Config, User};
pub use error::Error;
pub use fault::{Endpoint, Fault, Faults};
pub use server::Server;
pub use stats::Stats;
