//! One process of the demonstration.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::Surprise;

pub(super) const READY: Duration = Duration::from_secs(30);

pub(super) struct Part {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    pub(super) fn start(command: &mut Command) -> Result<Self, Surprise> {
        // Its log would drown the steps; RUST_LOG brings it back.
        #[allow(clippy::disallowed_methods, reason = "a program may read its environment")]
        let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "error,lapin=off".into());
        let command = command.env("RUST_LOG", log).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let missing = "a process without pipes";
        let (input, out) = (child.stdin.take().ok_or(missing)?, child.stdout.take().ok_or(missing)?);
        Ok(Self { child, input, lines: BufReader::new(out).lines() })
    }

    /// The rest of its next line that begins so.
    pub(super) async fn says(&mut self, beginning: &str) -> Result<String, Surprise> {
        loop {
            let line = timeout(READY, self.lines.next_line()).await;
            let line = line.map_err(|_| format!("no {beginning:?} within {READY:?}"))??;
            let line = line.ok_or_else(|| format!("it stopped before {beginning:?}"))?;
            if let Some(rest) = line.strip_prefix(beginning) {
                return Ok(rest.to_owned());
            }
        }
    }

    /// Lets it go on from where it is held.
    pub(super) async fn release(&mut self) -> Result<(), Surprise> {
        Ok(self.input.write_all(b"\n").await?)
    }

    /// SIGKILL: nothing can be put in order.
    pub(super) async fn kill(&mut self) -> Result<(), Surprise> {
        Ok(self.child.kill().await?)
    }

    /// Stops it in order.
    pub(super) async fn stop(&mut self) -> Result<(), Surprise> {
        if let Some(id) = self.child.id() {
            Command::new("kill").arg(id.to_string()).status().await?;
        }
        timeout(READY, self.child.wait()).await??;
        Ok(())
    }
}
