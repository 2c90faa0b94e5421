//! Runs the program.

use std::path::Path;

pub(crate) use testkit::{Ran, words};

/// Runs it with these arguments, and with nothing in its environment but the name of its user.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Ran {
    run_with(args, &[])
}

#[track_caller]
pub(crate) fn run_with(args: &[&str], env: &[(&str, &str)]) -> Ran {
    Ran::of(env!("CARGO_BIN_EXE_onceward-dtx"), args, &[&[("USER", "tess")], env].concat())
}

/// The URL of a SQLite file.
pub(crate) fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}
