//! A shop of the demonstration's own: a child process on free ports, in a temporary folder.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::{Browser, Surprise};

const READY: Duration = Duration::from_secs(30);

pub(super) struct Stage {
    folder: TempDir,
    child: Child,
    shop: String,
    qq: String,
    steps: u32,
}

impl Stage {
    pub(super) async fn open() -> Result<Self, Surprise> {
        let folder = tempfile::Builder::new().prefix("onceward-demo-").tempdir()?;
        let (child, shop, qq) = start(&folder, "127.0.0.1:0", "127.0.0.1:0").await?;
        println!("a shop of its own at {shop}, data in {}", folder.path().display());
        Ok(Self { folder, child, shop, qq, steps: 0 })
    }

    pub(super) fn browser(&self) -> Result<Browser, Surprise> {
        Browser::new(&self.shop)
    }

    pub(super) fn title(&mut self, title: &str) {
        println!("\n{title}");
    }

    pub(super) fn step(&mut self, what: &str, evidence: &str) {
        self.steps += 1;
        println!("{:>3}. {what}\n     {evidence}", self.steps);
    }

    /// SIGKILL: nothing can be put in order.
    pub(super) fn kill(&mut self) -> Result<(), Surprise> {
        Ok(self.child.start_kill()?)
    }

    /// Starts the shop again on the same data and ports.
    pub(super) async fn restart(&mut self) -> Result<Duration, Surprise> {
        self.child.wait().await?;
        let address = |origin: &str| origin.trim_start_matches("http://").to_owned();
        let started = Instant::now();
        (self.child, self.shop, self.qq) = start(&self.folder, &address(&self.shop), &address(&self.qq)).await?;
        Ok(started.elapsed())
    }

    /// Stops the shop in order and runs `shop verify` on what it left.
    pub(super) async fn verify(mut self) -> Result<bool, Surprise> {
        println!("\nThe invariants, on the stores themselves");
        let beside = self.run_verify().await?;
        if let Some(id) = self.child.id() {
            Command::new("kill").arg(id.to_string()).status().await?;
        }
        timeout(READY, self.child.wait()).await??;
        println!("\nand once more after the shop has stopped");
        Ok(beside & self.run_verify().await?)
    }

    async fn run_verify(&self) -> Result<bool, Surprise> {
        let data = self.folder.path();
        Ok(Command::new(std::env::current_exe()?).arg("verify").arg("--data").arg(data).status().await?.success())
    }
}

async fn start(folder: &TempDir, listen: &str, qq: &str) -> Result<(Child, String, String), Surprise> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--listen", listen, "--mini-qq-listen", qq, "--data"]).arg(folder.path());
    for url in ["REDIS_URL", "POSTGRES_URL", "MYSQL_URL", "AMQP_URL"] {
        command.env_remove(url);
    }
    // Its log would drown the steps; RUST_LOG brings it back.
    #[allow(clippy::disallowed_methods, reason = "a program may read its environment")]
    let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "error".into());
    let mut child =
        command.env("RUST_LOG", log).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let out = child.stdout.take().ok_or("the shop has no output")?;
    let mut lines = BufReader::new(out).lines();
    let (mut shop, mut mini_qq) = (None, None);
    while shop.is_none() {
        let line = timeout(READY, lines.next_line()).await.map_err(|_| "the shop did not start within 30 s")??;
        let line = line.ok_or("the shop stopped before it was ready")?;
        let origin = |prefix: &str| line.strip_prefix(prefix).map(str::to_owned);
        mini_qq = mini_qq.or_else(|| origin("mini-qq listening on "));
        shop = origin("shop listening on ");
    }
    let missing = "the shop did not say where it listens";
    Ok((child, shop.ok_or(missing)?, mini_qq.ok_or(missing)?))
}
