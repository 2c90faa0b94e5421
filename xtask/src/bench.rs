//! `bench`: criterion, on services that write to disk.

use crate::up::{self, Started};
use crate::{Result, cargo, services};

/// Run the criterion benches on durable services (as after `up --durable`): one client, latency
///
/// Stops the services that it started. Rates of two sittings do not compare: measure both sides in one. For throughput under
/// load see `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these `[[bench]]` targets [default: all]
    names: Vec<String>,
    /// Leave the services running
    #[arg(long)]
    keep: bool,
    /// Passed to criterion, such as `-- --quick`
    #[arg(last = true)]
    criterion: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut line = vec!["bench", "--package", "benches"];
    for name in &args.names {
        line.extend(["--bench", name]);
    }
    line.push("--");
    line.extend(args.criterion.iter().map(String::as_str));
    on_durable_services(&line, args.keep)
}

/// Runs cargo with the URLs of servers that write to disk before they acknowledge.
pub(crate) fn on_durable_services(line: &[&str], keep: bool) -> Result<()> {
    let mut started = Started::new(keep);
    up::start(&services::ALL, true, &mut started.services)?;
    let mut cargo = cargo::command()?;
    cargo.args(line).envs(up::urls(&services::ALL)?);
    let status = cargo.status().map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} ended with {status}", line[0])) }
}
