//! `down`: stops what `up` recorded, and nothing else.

use crate::apart;
use crate::record::Record;
use crate::services::{self, Service};
use crate::{Result, paths};
use std::fs;
use std::thread;

/// Stop the services that `up` started, by their recorded processes; their data stay
///
/// Nothing to stop is fine. A service that runs elsewhere (its URL variable is set) is not touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these [default: all]
    names: Vec<String>,
    /// Remove their data too
    #[arg(long)]
    wipe: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = services::named(&args.names)?;
    if !paths::services()?.exists() {
        println!("nothing runs");
        return Ok(());
    }
    if apart::exists()? {
        beside(args)?;
    }
    let _alone = paths::lock()?;
    stop(&wanted)?;
    if args.wipe {
        wanted.iter().try_for_each(|service| wipe(service))?;
    }
    Ok(())
}

/// The same for the services that an interrupted test run had beside the usual ones.
fn beside(args: &Args) -> Result<()> {
    let mut tool = apart::tool()?;
    tool.arg("down").args(&args.names).args(args.wipe.then_some("--wipe"));
    let status = tool.status().map_err(|e| format!("this program: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("the services apart: {status}")) }
}

/// Stops these services side by side. The caller holds the lock.
pub(crate) fn stop(wanted: &[&'static Service]) -> Result<()> {
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = wanted.iter().map(|service| scope.spawn(move || stop_one(service))).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut errors = Vec::new();
    let mut stopped = 0;
    for (service, answer) in wanted.iter().zip(answers) {
        match answer {
            Ok(Ok(true)) => stopped += 1,
            Ok(Ok(false)) => {}
            Ok(Err(message)) => errors.push(format!("{}: {message}", service.name)),
            Err(_) => errors.push(format!("{}: the thread that stops it panicked", service.name)),
        }
    }
    if stopped == 0 && errors.is_empty() {
        println!("nothing runs");
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

fn stop_one(service: &Service) -> Result<bool> {
    let folder = service.folder()?;
    let Some(record) = Record::load(&folder) else {
        Record::forget(&folder);
        return Ok(false);
    };
    let ran = record.running().is_some();
    record.stop(service, &folder)?;
    println!("{:<10} {}", service.name, if ran { "stopped" } else { "was gone already" });
    Ok(ran)
}

/// Removes data that no server uses.
fn wipe(service: &Service) -> Result<()> {
    let folder = service.folder()?;
    for data in [paths::elsewhere(&folder), folder] {
        if data.exists() {
            fs::remove_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
        }
    }
    Ok(())
}
