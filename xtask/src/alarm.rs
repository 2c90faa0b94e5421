//! `alarm`: a service is there and takes nothing, as in a fault.

use crate::services::{self, Place, Service};
use crate::{Result, paths};

/// Make RabbitMQ hold back all who publish, as when its memory is full; `--clear` ends that
///
/// For tests and for trying a fault by hand. Refuses what `up` did not start. A start of the server ends it too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// rabbitmq
    name: String,
    /// There is memory again
    #[arg(long)]
    clear: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let _alone = paths::lock()?;
    services::named(std::slice::from_ref(&args.name))?.into_iter().try_for_each(|service| one(service, args.clear))
}

fn one(service: &Service, clear: bool) -> Result<()> {
    let name = service.name;
    let alarm = service.alarm.ok_or_else(|| format!("{name} knows no alarm"))?;
    let record = service.ours()?;
    let server = (service.locate)().ok_or_else(|| format!("{} is missing", service.package))?;
    let (folder, ports) = (service.folder()?, service.ports(record.port - service.offsets[0]));
    let place = Place { server: &server, folder: &folder, ports: &ports, durable: record.durable };
    alarm(&place, clear)?.finish(&place.log())?;
    println!("{name:<10} {}", if clear { "takes messages again" } else { "takes no message" });
    Ok(())
}
