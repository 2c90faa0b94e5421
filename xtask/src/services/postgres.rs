//! PostgreSQL, on TCP only: the path of a unix socket is too short for many a clone.

use super::{Place, Service};
use crate::process::{Account, Launch, Process};
use crate::{Result, paths, probe};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) const SERVICE: Service = Service {
    name: "postgres",
    variable: "POSTGRES_URL",
    feature: "test-postgres",
    offsets: &[2],
    admin: None,
    package: "postgresql",
    // Ends sessions and shuts down; SIGTERM would wait for the clients.
    signal: "INT",
    url: |port| format!("postgres://postgres:onceward@127.0.0.1:{port}/postgres"),
    locate,
    prepare,
    alarm: None,
    ready: |port| probe::ask(port, &startup_message(), |answer| answer.first() == Some(&b'R')),
};

/// The newest version that is installed: Debian keeps them side by side and outside `PATH`.
fn locate() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, entry.path().join("bin/postgres")))
        })
        .filter(|(_, file)| paths::executable(file) && paths::executable(&initdb(file)))
        .collect();
    found.sort();
    let in_path = || paths::program("postgres").filter(|file| paths::executable(&initdb(file)));
    found.pop().map(|(_, file)| file).or_else(in_path)
}

fn initdb(server: &Path) -> PathBuf {
    server.with_file_name("initdb")
}

fn prepare(place: &Place<'_>) -> Result<Vec<Launch>> {
    let account = if paths::is_root() { Some(Account::named("postgres")?) } else { None };
    let data = match account {
        Some(_) => paths::shared_data(place.folder)?,
        None => place.folder.join("data"),
    };
    let told = |e| format!("{}: {e}", data.display());
    if made_by_another_version(&data, place.server) {
        println!("postgres   its data are of another version and are made anew");
        fs::remove_dir_all(&data).map_err(told)?;
    }
    if !data.join("PG_VERSION").exists() {
        // What a broken attempt left would stop initdb.
        if data.exists() {
            fs::remove_dir_all(&data).map_err(told)?;
        }
        fs::create_dir_all(&data).map_err(told)?;
        if let Some(Account { uid, gid }) = account {
            chown(&data, Some(uid), Some(gid)).map_err(told)?;
        }
        Launch::new(initdb(place.server))
            .args(["-U", "postgres", "-A", "trust", "-N", "--no-instructions"])
            .args(["-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .account(account)
            .finish(&place.log())?;
    }
    forget_old_pid(&data);
    let fsync = if place.durable { "on" } else { "off" };
    let mut server = Launch::new(place.server)
        .args(["-p", &place.port(), "-c", "listen_addresses=127.0.0.1", "-c"])
        .args(["unix_socket_directories=", "-c", "max_connections=300"])
        .account(account);
    // Not `synchronous_commit`: without it a killed server loses what it acknowledged, with it only a power cut does.
    for name in ["fsync", "full_page_writes"] {
        server = server.args(["-c", &format!("{name}={fsync}")]);
    }
    Ok(vec![server.arg("-D").arg(data)])
}

/// Was the cluster made by a major version that this server cannot read? Unknown counts as no.
fn made_by_another_version(data: &Path, server: &Path) -> bool {
    let Ok(made_by) = fs::read_to_string(data.join("PG_VERSION")) else { return false };
    let real = fs::canonicalize(server).unwrap_or_else(|_| server.to_owned());
    let of_server = real.ancestors().nth(2).and_then(|folder| folder.file_name()?.to_str());
    of_server.is_some_and(|n| n.parse::<u32>().is_ok() && n != made_by.trim())
}

/// After a crash the lock file names a pid, and the server believes that it runs already if any process of the account
/// has it: a stranger by now, or the old server itself as a zombie that nobody has reaped yet.
fn forget_old_pid(data: &Path) {
    let file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse().ok()) else { return };
    let there = || fs::exists(format!("/proc/{pid}")).unwrap_or(false);
    let end = Instant::now() + Duration::from_secs(10);
    // Its orphans end meanwhile too: the server must find the lock file to notice those.
    while Process::observe(pid).is_none() && there() && Instant::now() < end {
        sleep(Duration::from_millis(50));
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = String::from_utf8_lossy(&command).contains(&*data.to_string_lossy());
    if there() && !ours {
        // If it stays, the server says so itself.
        let _ = fs::remove_file(file);
    }
}

/// Length, protocol 3.0, user and database: the answer is `R` (logged in) or `E` (such as "starting up").
fn startup_message() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(body.len() + 4).unwrap_or_default();
    [&length.to_be_bytes(), body.as_slice()].concat()
}
