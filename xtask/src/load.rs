//! `load`: throughput under load, on services that write to disk.

use crate::{Result, bench};

/// Measure throughput and latency of several clients beside the bare drivers; prints a Markdown table
///
/// On durable services (as after `up --durable`); stops those that it started. `cargo xtask load -- --help` names the
/// options, `-- --list` the cases.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only cases whose name has one of these in it [default: all]
    names: Vec<String>,
    /// Leave the services running
    #[arg(long)]
    keep: bool,
    /// Passed to the harness, such as `-- --clients 16 --seconds 5`
    #[arg(last = true)]
    harness: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // Of the profile of the criterion benches, so that nothing is built twice.
    let mut line = vec!["run", "--quiet", "--profile", "bench", "--package", "benches", "--bin", "load", "--"];
    line.extend(args.harness.iter().chain(&args.names).map(String::as_str));
    bench::on_durable_services(&line, args.keep)
}
