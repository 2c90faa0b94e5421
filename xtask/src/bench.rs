//! `bench`: criterion, on services that write to disk.

use crate::up::{self, Started};
use crate::{Result, cargo, services};

/// Run the criterion benches on durable services (as after `up --durable`)
///
/// Stops the services that it started. Rates of two sittings do not compare: measure both sides in one.
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
    let mut started = Started::new(args.keep);
    up::start(&services::ALL, true, &mut started.services)?;
    let mut cargo = cargo::command()?;
    cargo.args(["bench", "--package", "benches"]).envs(up::urls(&services::ALL)?);
    for name in &args.names {
        cargo.args(["--bench", name]);
    }
    let status = cargo.arg("--").args(&args.criterion).status().map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo bench ended with {status}")) }
}
