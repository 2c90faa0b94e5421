//! A shop of the demonstration's own: a child process on free ports, with a temporary folder, and on servers under a
//! namespace that goes with it.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Browser, Surprise};
use crate::cli::Backends;
use crate::folder::{Folder, Settings};
use crate::home::{Home, Right};
use crate::servers::Servers;
use crate::stores::Stores;

const READY: Duration = Duration::from_secs(30);

pub(super) struct Stage {
    place: Place,
    child: Child,
    shop: String,
    qq: String,
    steps: u32,
}

/// Where the shop keeps its things.
struct Place {
    folder: TempDir,
    backends: Backends,
    servers: Option<Servers>,
}

impl Place {
    /// The program, to be run on what is here.
    fn command(&self, verb: &str) -> Result<Command, Surprise> {
        let Backends { redis_url, postgres_url, mysql_url, amqp_url } = &self.backends;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(verb).arg("--data").arg(self.folder.path());
        // Not as arguments, which others on this machine can read.
        let urls = [("REDIS_URL", redis_url), ("POSTGRES_URL", postgres_url), ("MYSQL_URL", mysql_url)];
        for (name, url) in urls.into_iter().chain([("AMQP_URL", amqp_url)]) {
            match url {
                Some(url) => command.env(name, url),
                None => command.env_remove(name),
            };
        }
        if let Some(servers) = &self.servers {
            command.env("SHOP_NAMESPACE", servers.namespace().as_str());
        }
        Ok(command)
    }
}

impl Stage {
    pub(super) async fn open(backends: &Backends) -> Result<Self, Surprise> {
        let folder = tempfile::Builder::new().prefix("onceward-demo-").tempdir()?;
        let namespace = format!("demo_{}", &Uuid::new_v4().simple().to_string()[..12]).parse()?;
        let servers = backends.servers(&namespace)?;
        let place = Place { folder, backends: backends.clone(), servers };
        let started = start(&place, "127.0.0.1:0", "127.0.0.1:0").await;
        let (child, shop, qq) = match started {
            Ok(started) => started,
            Err(error) => {
                place.remove().await;
                return Err(error);
            }
        };
        println!("a shop of its own at {shop}, data in {}", place.folder.path().display());
        if let Some(servers) = &place.servers {
            println!("on servers, under the namespace {}, which is removed afterwards", servers.namespace());
        }
        Ok(Self { place, child, shop, qq, steps: 0 })
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
        (self.child, self.shop, self.qq) = start(&self.place, &address(&self.shop), &address(&self.qq)).await?;
        Ok(started.elapsed())
    }

    /// Stops the shop in order and runs `shop verify` on what it left.
    pub(super) async fn verify(&mut self) -> Result<bool, Surprise> {
        println!("\nThe invariants, on the stores themselves");
        let beside = self.run_verify().await?;
        self.stop().await?;
        println!("\nand once more after the shop has stopped");
        Ok(beside & self.run_verify().await?)
    }

    /// Stops the shop in order.
    pub(super) async fn stop(&mut self) -> Result<(), Surprise> {
        if let Some(id) = self.child.id() {
            Command::new("kill").arg(id.to_string()).status().await?;
        }
        timeout(READY, self.child.wait()).await??;
        Ok(())
    }

    /// The stores of the shop, which must be stopped, and the right to them, which ends when it is dropped.
    pub(super) async fn take_over(&self) -> Result<(Home, (Folder, Right), Stores), Surprise> {
        let path = self.place.folder.path();
        let home = match &self.place.servers {
            Some(servers) => Home::Servers(Box::new(servers.clone())),
            None => Home::Folder(path.to_owned()),
        };
        let folder = Folder::existing(path)?;
        let right = home.claim(READY).await?.ok_or("another shop has the namespace")?;
        let stores = home.open(&Settings::read(path)?, READY).await?;
        stores.recover().await?;
        Ok((home, (folder, right), stores))
    }

    async fn run_verify(&self) -> Result<bool, Surprise> {
        Ok(self.place.command("verify")?.status().await?.success())
    }

    /// Ends the shop, however it is, and removes what it kept on servers.
    pub(super) async fn strike(mut self) {
        let _ = self.child.kill().await;
        self.place.remove().await;
    }
}

impl Place {
    async fn remove(&self) {
        if let Some(servers) = &self.servers
            && let Err(error) = servers.remove().await
        {
            eprintln!("what is under the namespace {} could not be removed: {error}", servers.namespace());
        }
    }
}

async fn start(place: &Place, listen: &str, qq: &str) -> Result<(Child, String, String), Surprise> {
    let mut command = place.command("serve")?;
    command.args(["--listen", listen, "--mini-qq-listen", qq]);
    // Its log would drown the steps; RUST_LOG brings it back.
    #[allow(clippy::disallowed_methods, reason = "a program may read its environment")]
    let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "error,lapin=off".into());
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
