//! `soak`: the same tests at full size.

use crate::test;
use std::process::ExitCode;

/// Run the tests of `test` at full size: ONCEWARD_SCALE enlarges randomised, kill and load tests
///
/// Closes with a table of every test binary, then `N passed, N failed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these, by package or folder [default: the workspace]
    crates: Vec<String>,
    /// How many times larger than in the gate
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    scale: u32,
    /// Leave the services running
    #[arg(long)]
    keep: bool,
    /// Passed to `cargo test`
    #[arg(last = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    println!("scale {}", args.scale);
    test::whole(&args.crates, &args.cargo, args.keep, Some(args.scale))
}
