//! Server processes: told apart by pid *and* start time, started apart from this program, stopped by what was recorded.

use crate::{Result, paths};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A process; a later one with the same pid is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Clock ticks since boot.
    pub(crate) started: u64,
}

impl Process {
    /// The process that has this pid now. A zombie has ended, so it is none; one that only waits for its threads to
    /// end still holds its ports.
    pub(crate) fn observe(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: start_time(&stat)? })
    }

    /// Is it this very process that runs?
    pub(crate) fn alive(self) -> bool {
        Self::observe(self.pid) == Some(self)
    }

    /// Asks with `signal`, waits, and kills it when it does not listen.
    pub(crate) fn stop(self, signal: &str, patience: Duration) -> Result<()> {
        for (signal, patience) in [(signal, patience), ("KILL", Duration::from_secs(10))] {
            if !self.alive() {
                return Ok(());
            }
            let sent = Command::new("sh")
                .args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "sh", signal, &self.pid.to_string()])
                .status()
                .map_err(|e| format!("sh: {e}"))?;
            if !sent.success() && self.alive() {
                return Err(format!("pid {} cannot be signalled: it runs as another user", self.pid));
            }
            let end = Instant::now() + patience;
            while self.alive() && Instant::now() < end {
                sleep(Duration::from_millis(20));
            }
        }
        if self.alive() { Err(format!("pid {} survives SIGKILL", self.pid)) } else { Ok(()) }
    }
}

/// Field 22 of `/proc/PID/stat`; the second, the name, may itself hold blanks and brackets.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let (state, threads) = (*fields.first()?, fields.get(17)?.parse::<u32>().ok()?);
    if matches!(state, "Z" | "X") && threads < 2 {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// An account of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account with this name, from `/etc/passwd`.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let table = fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {e}"))?;
        let found = table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_it = fields.next() == Some(name);
            let ids = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            is_it.then_some(Self { uid: ids.0, gid: ids.1 })
        });
        found.ok_or_else(|| format!("no account `{name}`: its server refuses root; run as a plain user instead"))
    }
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    account: Option<Account>,
}

/// Closes what this program itself inherited (a lock of the caller's, a pipe of a build tool): a server that kept it
/// would hold it for days. Rust's own descriptors close by themselves.
const ONLY_THREE: &str = r#"for f in /proc/$$/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done
exec "$@""#;

impl Launch {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), account: None }
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// `--name=value`, where the value is a path and so perhaps not text.
    pub(crate) fn option(self, name: &str, value: &Path) -> Self {
        let mut whole = OsString::from(name);
        whole.push(value);
        self.arg(whole)
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub(crate) fn account(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    /// Runs to the end; what it prints goes into `log`.
    pub(crate) fn finish(self, log: &Path) -> Result<()> {
        let name = self.program.display().to_string();
        let end = self.command(log)?.status().map_err(|e| format!("{name}: {e}"))?;
        if end.success() { Ok(()) } else { Err(format!("{name}: {end}\n{}", tail(log))) }
    }

    /// Starts it apart from this program: no descriptor of ours, no Ctrl-C of ours.
    pub(crate) fn spawn(self, log: &Path) -> Result<Child> {
        let name = self.program.display().to_string();
        self.command(log)?.process_group(0).spawn().map_err(|e| format!("{name}: {e}"))
    }

    fn command(self, log: &Path) -> Result<Command> {
        let out = File::options().append(true).create(true).open(log);
        let out = out.map_err(|e| format!("{}: {e}", log.display()))?;
        let also = out.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = match paths::program("bash") {
            Some(bash) => {
                let mut command = Command::new(bash);
                command.args(["-c", ONLY_THREE, "bash"]).arg(self.program);
                command
            }
            None => Command::new(self.program),
        };
        command.args(self.args).current_dir("/").stdin(Stdio::null()).stdout(out).stderr(also);
        // Nothing of the caller's environment: PGOPTIONS, RABBITMQ_* or LD_LIBRARY_PATH would change the server.
        command.env_clear().env("PATH", paths::search_path()).env("LANG", "C.UTF-8").envs(self.env);
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }
}

/// The last lines of a log, indented, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(15)..].join("\n    ");
    format!("  {}:\n    {shown}", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(start_time(&format!("77 (a) b (c)) {rest}")), Some(4711));
    }

    #[test]
    fn a_zombie_has_ended() {
        let stat = |threads| format!("77 (beam) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 {threads} 18 4711 20");
        assert_eq!(start_time(&stat(1)), None);
        assert_eq!(start_time(&stat(9)), Some(4711), "its threads hold its ports");
        let mut child = Command::new("true").spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while Process::observe(child.id()).is_some() && Instant::now() < end {
            std::thread::yield_now();
        }
        assert_eq!(Process::observe(child.id()), None);
        child.wait().unwrap();
    }

    #[test]
    fn another_process_with_the_same_pid_is_another() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::observe(child.id()).unwrap();
        let earlier = Process { started: process.started - 1, ..process };
        assert!(process.alive());
        assert!(!earlier.alive());
        earlier.stop("TERM", Duration::from_secs(1)).unwrap();
        assert!(process.alive(), "a stale record must not stop a stranger");
        process.stop("TERM", Duration::from_secs(10)).unwrap();
        assert!(!process.alive());
        child.wait().unwrap();
    }
}
