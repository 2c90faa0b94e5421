//! `halt`: a service is away for a while, as in a fault.

use crate::services::{self, Service};
use crate::{Result, paths};

/// Stop services for a while: data, port and record stay, `up` starts them again as they were
///
/// For tests and for trying a fault by hand. Refuses what `up` did not start.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true)]
    names: Vec<String>,
    /// As in a crash (SIGKILL), without a chance to finish anything
    #[arg(long)]
    kill: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = services::named(&args.names)?;
    let _alone = paths::lock()?;
    wanted.into_iter().try_for_each(|service| one(service, args.kill))
}

fn one(service: &Service, kill: bool) -> Result<()> {
    service.ours()?.halt(if kill { "KILL" } else { service.signal })?;
    println!("{:<10} {}", service.name, if kill { "killed" } else { "halted" });
    Ok(())
}
