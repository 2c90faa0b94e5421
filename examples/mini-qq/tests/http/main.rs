//! The server over real HTTP: as a browser and as a client application would meet it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests unwrap and spawn their server")]
#![allow(unreachable_pub, reason = "modules of one test program")]

mod approval;
mod faults;
mod formats;
mod login;
mod process;
mod refusals;
mod site;
