//! What the programs for operators share: where a URL leads, answers, problems, tables and times.
//!
//! For programs only, which may look at files and write to the standard streams: no store or service names it.

mod answer;
mod pool;
mod problem;
pub mod span;
mod table;
mod url;

pub use crate::error::chain;
pub use answer::{Answer, finish, misused};
#[cfg(feature = "sqlite")]
pub use pool::file;
pub use pool::{Options, connect, options};
pub use problem::Problem;
pub use table::{Table, plain};
pub use url::{Built, Place};
