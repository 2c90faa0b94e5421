//! A child process that a test listens to, stops and kills.

mod lines;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use lines::Lines;

/// Starts a [`Child`]: the program, its arguments and its environment.
#[derive(Debug)]
pub struct Launch {
    command: Command,
}

/// A running child process. It is killed and reaped when this guard is dropped.
///
/// Its standard output and error are read all the time, line by line, by threads of their own; the child never blocks
/// on a full pipe.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// use testkit::Child;
/// let mut child = Child::of("sh").args(["-c", "echo ready; exec sleep 100"]).start();
/// child.wait_for_line(|line| line == "ready", Duration::from_secs(10)).await;
/// child.kill();
/// # }
/// ```
pub struct Child {
    process: std::process::Child,
    name: String,
    lines: Lines,
    ended: Option<ExitStatus>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Launch {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment, which is otherwise that of the test.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable from its environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets its working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Leaves its standard input open, and says nothing there; else it is at its end from the start.
    #[must_use]
    pub fn listening(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Child {
        let name = self.command.get_program().to_string_lossy().into_owned();
        let mut process = match self.command.spawn() {
            Ok(process) => process,
            Err(error) => panic!("{name} cannot be started: {error}"),
        };
        let lines = Lines::default();
        lines.read(process.stdout.take().expect("piped"), false);
        lines.read(process.stderr.take().expect("piped"), true);
        Child { process, name, lines, ended: None }
    }
}

impl Child {
    /// The program at `path`; a test of the same package writes `env!("CARGO_BIN_EXE_shop")`.
    #[must_use]
    pub fn of(path: impl AsRef<OsStr>) -> Launch {
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Launch { command }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The lines of its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.lines.of(false)
    }

    /// The lines of its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.lines.of(true)
    }

    /// The first line, of either stream, that `wanted` accepts; each line is offered once, so that the next call goes
    /// on behind the line that this one returned.
    ///
    /// # Panics
    /// If there is none within `limit`, or if the child ends without it, with the last lines seen.
    pub async fn wait_for_line(&mut self, mut wanted: impl FnMut(&str) -> bool, limit: Duration) -> String {
        let start = Instant::now();
        loop {
            // Asked in this order: what a dead child wrote has been read once its pipes are at their end.
            let closed = self.lines.closed();
            while let Some(line) = self.lines.next() {
                if wanted(&line) {
                    return line;
                }
            }
            let why = if closed {
                "the child closed its output"
            } else if start.elapsed() >= limit {
                "time is over"
            } else {
                sleep(POLL).await;
                continue;
            };
            let ended = self.try_exit();
            panic!(
                "{}: the line did not come within {:?} ({why}, exit {ended:?}); last lines:\n{}",
                self.name,
                start.elapsed(),
                self.lines.last(40)
            );
        }
    }

    /// Waits for the line `mark NAME`, where the child's fail point blocks.
    ///
    /// # Panics
    /// Like [`Child::wait_for_line`].
    pub async fn wait_for_mark(&mut self, name: &str, limit: Duration) {
        let wanted = format!("mark {name}");
        self.wait_for_line(|line| line.trim_end() == wanted, limit).await;
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it is still running after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Exit {
        let start = Instant::now();
        loop {
            if let Some(exit) = self.try_exit() {
                // The pipes' threads may still be reading the last lines; a grandchild may hold them open for ever.
                let end = Instant::now() + Duration::from_secs(1);
                while !self.lines.closed() && Instant::now() < end {
                    sleep(POLL).await;
                }
                return exit;
            }
            assert!(
                start.elapsed() < limit,
                "{} is still running after {limit:?}; last lines:\n{}",
                self.name,
                self.lines.last(40)
            );
            sleep(POLL).await;
        }
    }

    /// How it ended; `None` while it runs.
    pub fn try_exit(&mut self) -> Option<Exit> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().expect("a child can be waited for");
        }
        self.ended.map(Exit::from)
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Panics
    /// If it is still running after `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Exit {
        self.signal("TERM");
        self.wait(limit).await
    }

    /// Kills it (SIGKILL) and reaps it: when this returns, its locks and sockets are gone.
    pub fn kill(&mut self) {
        if self.try_exit().is_none() {
            let _ = self.process.kill();
            self.ended = self.process.wait().ok();
        }
    }

    /// Sends it a signal by name: `"INT"`, `"STOP"`, `"CONT"`. Does nothing if it has ended.
    ///
    /// # Panics
    /// If there is no such signal.
    pub fn signal(&mut self, name: &str) {
        if self.try_exit().is_some() {
            return;
        }
        // The process is ours and not reaped, so its id cannot belong to another.
        let sent =
            Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal {name} could not be sent to {}", self.name);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}: last lines:\n{}", self.name, self.lines.last(40));
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("name", &self.name).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Exit {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

const POLL: Duration = Duration::from_millis(5);
