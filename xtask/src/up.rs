//! `up`: every service answers, whoever runs it.

use crate::process::{Launch, Process, tail};
use crate::record::Record;
use crate::services::{self, Place, Service};
use crate::{Result, install, paths, probe};
use std::fs::File;
use std::path::Path;
use std::process::Child;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Start the services (redis postgres mariadb rabbitmq nats), or say that they run already
///
/// A service whose URL variable is set is left to whoever set it. Missing servers are installed with apt-get as root
/// on Debian and its relatives. `eval "$(cargo xtask env)"` sets the URLs; `cargo xtask down` stops what was started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these [default: all]
    names: Vec<String>,
    /// Write to disk before acknowledging (fsync on), as benches need; restarts what runs without
    #[arg(long)]
    durable: bool,
}

const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = services::named(&args.names)?;
    start(&wanted, args.durable, &mut Vec::new())
}

/// Brings the services up, each in a thread; `started` gets those that did not run before, also on an error.
pub(crate) fn start(wanted: &[&'static Service], durable: bool, started: &mut Vec<&'static Service>) -> Result<()> {
    let mut ours = Vec::new();
    for service in wanted {
        if service.foreign()? {
            println!("{:<10} {} is set: used as it is", service.name, service.variable);
        } else {
            ours.push(*service);
        }
    }
    if ours.is_empty() {
        return Ok(());
    }
    if Process::observe(std::process::id()).is_none() {
        let variables: Vec<_> = ours.iter().map(|s| s.variable).collect();
        return Err(format!(
            "servers are started on Linux only; run `docker compose up -d` and set {}",
            variables.join(" ")
        ));
    }
    let base = services::port_base()?;
    let _alone = paths::lock()?;
    install::missing(&ours)?;
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = ours.iter().map(|service| scope.spawn(move || one(service, base, durable))).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut errors = Vec::new();
    for (service, answer) in ours.into_iter().zip(answers) {
        match answer {
            Ok(Ok(true)) => started.push(service),
            Ok(Ok(false)) => {}
            Ok(Err(message)) => errors.push(format!("{}: {message}", service.name)),
            Err(_) => errors.push(format!("{}: the thread that starts it panicked", service.name)),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

/// Brings one service up; `true` if it did not run before.
fn one(service: &Service, base: u16, durable: bool) -> Result<bool> {
    let begun = Instant::now();
    let folder = service.folder()?;
    paths::open_folder(&folder)?;
    let ports = service.ports(base);
    let url = (service.url)(ports[0]);
    let recorded = Record::load(&folder);
    let mut was_running = false;
    if let Some(record) = &recorded {
        if let Some(server) = record.running() {
            let pid = server.pid;
            if record.port != ports[0] {
                return Err(format!(
                    "runs already on port {} (pid {pid}), from another ONCEWARD_PORT_BASE; \
                     run `cargo xtask down` first, or choose another ONCEWARD_SERVICES_DIR",
                    record.port
                ));
            }
            if record.durable || !durable {
                let answers = await_ready(service, &folder, server, ports[0], None);
                // It may have been dying when it was looked at.
                if answers.is_ok() || server.alive() {
                    answers?;
                    println!("{:<10} already running (pid {pid})   {url}", service.name);
                    return Ok(false);
                }
            } else {
                was_running = true;
                println!("{:<10} restarting it with fsync on", service.name);
            }
        }
        if !was_running {
            println!("{:<10} its process is gone, starting it again", service.name);
        }
        record.stop(service, &folder)?;
    }
    Record::forget(&folder);
    // What was halted, or died, comes back as it was.
    let durable = durable || recorded.as_ref().is_some_and(|record| record.durable);
    refuse_taken(service, &ports, recorded.is_some())?;
    // Each log is of one start: what an error message quotes is about that.
    let log = services::log(&folder);
    File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let server = (service.locate)().ok_or_else(|| format!("{} is missing", service.package))?;
    let place = Place { server: &server, folder: &folder, ports: &ports, durable };
    let launches = (service.prepare)(&place)?;
    let mut record = Record { port: ports[0], durable, ..Record::default() };
    let ready = launch(launches, &mut record, &folder, &log).and_then(|(process, mut child)| {
        await_ready(service, &folder, process, ports[0], Some(&mut child))?;
        reap(child);
        Ok(())
    });
    if let Err(message) = ready {
        return match record.stop(service, &folder) {
            Ok(()) => Err(message),
            Err(also) => Err(format!("{message}\n{also}")),
        };
    }
    let seconds = begun.elapsed().as_secs_f32();
    println!("{:<10} ready in {seconds:.1} s   {url}", service.name);
    Ok(!was_running)
}

/// A listener that this tool did not start may hold somebody's real data. Where a server of ours has just ended, its
/// port may take a moment to close.
fn refuse_taken(service: &Service, ports: &[u16], just_ended: bool) -> Result<()> {
    let end = Instant::now() + if just_ended { Duration::from_secs(5) } else { Duration::ZERO };
    loop {
        let Some(port) = ports.iter().find(|port| probe::listens(**port)) else { return Ok(()) };
        if Instant::now() >= end {
            return Err(format!(
                "port {port} answers, but no server of ours is recorded there; stop it, choose other ports with \
                 ONCEWARD_PORT_BASE, or, if that is the server to use, set {}",
                service.variable
            ));
        }
        sleep(Duration::from_millis(50));
    }
}

/// Starts helpers and server, and records each at once: an `up` that is killed leaves nothing unknown.
fn launch(launches: Vec<Launch>, record: &mut Record, folder: &Path, log: &Path) -> Result<(Process, Child)> {
    let count = launches.len();
    let mut last = None;
    for (number, launch) in launches.into_iter().enumerate() {
        let child = launch.spawn(log)?;
        let process = Process::observe(child.id()).ok_or_else(|| format!("ended at once\n{}", tail(log)))?;
        if number + 1 == count {
            record.server = Some(process);
        } else {
            record.helpers.push(process);
        }
        record.save(folder)?;
        if let Some((_, helper)) = last.replace((process, child)) {
            reap(helper);
        }
    }
    last.ok_or_else(|| "nothing to start".to_owned())
}

/// A test may kill a server and start it again while this program runs on: no zombie is to hold its pid meanwhile.
fn reap(mut child: Child) {
    thread::spawn(move || child.wait());
}

/// Asks until the server answers; the answer must come from this very process.
fn await_ready(
    service: &Service,
    folder: &Path,
    process: Process,
    port: u16,
    mut child: Option<&mut Child>,
) -> Result<()> {
    let log = services::log(folder);
    let end = Instant::now() + PATIENCE;
    loop {
        // Reaps it, so that no zombie stays while this program runs on.
        let ended = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if ended.is_some() || !process.alive() {
            let how = ended.map_or_else(|| "ended".to_owned(), |status| status.to_string());
            return Err(format!("the server did not stay up: {how}\n{}", tail(&log)));
        }
        if (service.ready)(port) {
            if probe::listener_is(process.pid, port) == Some(false) {
                return Err(format!(
                    "port {port} answers, but it is not the recorded server (pid {}): stop the other one, or \
                     choose other ports with ONCEWARD_PORT_BASE",
                    process.pid
                ));
            }
            return Ok(());
        }
        if Instant::now() > end {
            let seconds = PATIENCE.as_secs();
            return Err(format!("no answer on port {port} within {seconds} s\n{}", tail(&log)));
        }
        sleep(Duration::from_millis(50));
    }
}

/// What this run started; stopped again when dropped, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) services: Vec<&'static Service>,
    keep: bool,
}

impl Started {
    pub(crate) fn new(keep: bool) -> Self {
        Self { services: Vec::new(), keep }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.keep || self.services.is_empty() {
            return;
        }
        if let Err(message) = paths::lock().and_then(|_alone| crate::down::stop(&self.services)) {
            eprintln!("error: {message}");
        }
    }
}

/// The variables of each service: as they are given, else those of ours on the port where it runs or would run.
pub(crate) fn urls(wanted: &[&'static Service]) -> Result<Vec<(&'static str, String)>> {
    let base = services::port_base()?;
    let mut urls = Vec::new();
    for service in wanted {
        if service.foreign()? {
            urls.extend(service.given().map(|url| (service.variable, url)));
            continue;
        }
        let running = Record::load(&service.folder()?).filter(|record| record.running().is_some());
        urls.extend(service.variables(running.map_or(service.ports(base)[0], |record| record.port)));
    }
    Ok(urls)
}
