//! Runs the program.

use std::path::Path;

use serde_json::Value;
pub(crate) use testkit::{Ran, words};

/// Runs it with these arguments, and with nothing in its environment.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Ran {
    run_with(args, &[])
}

#[track_caller]
pub(crate) fn run_with(args: &[&str], env: &[(&str, &str)]) -> Ran {
    Ran::of(env!("CARGO_BIN_EXE_onceward-mq"), args, env)
}

/// The URL of a SQLite file.
pub(crate) fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// The field of each.
#[track_caller]
pub(crate) fn each<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}
