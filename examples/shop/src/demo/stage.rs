//! A shop of the demonstration's own: child processes on free ports, with a temporary folder, and on servers under a
//! namespace that goes with it.

use std::sync::Arc;
use std::time::Duration;

use onceward_reliable_mq::Broker;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;
use uuid::Uuid;

use super::outage::{Way, Wire};
use super::part::{Part, READY};
use super::{Browser, Surprise};
use crate::cli::Backends;
use crate::folder::{Folder, Settings};
use crate::home::{Home, Right};
use crate::servers::Servers;
use crate::stores::{Opening, Stores};

/// A port that is free.
const FREE: &str = "127.0.0.1:0";

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    /// One process.
    Shop,
    /// The same, and the way to its broker can be cut.
    ShopAndWay,
    /// The wallets in a process of their own, which is held at that point, or the shop is.
    Wallet { shop_waits: Option<&'static str>, wallet_waits: Option<&'static str> },
}

pub(super) struct Stage {
    place: Place,
    pub(super) shop: Part,
    pub(super) wallet: Option<Part>,
    way: Option<Way>,
    origins: Origins,
    steps: u32,
}

/// Where they listen, before and after a restart.
struct Origins {
    shop: String,
    qq: String,
    wallet: Option<String>,
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

    fn home(&self) -> Home {
        match &self.servers {
            Some(servers) => Home::Servers(Box::new(servers.clone())),
            None => Home::Folder(self.folder.path().to_owned()),
        }
    }

    async fn shop(&self, origins: &Origins, waits: Option<&str>) -> Result<(Part, Origins), Surprise> {
        let mut command = self.command("serve")?;
        command.args(["--listen", address(&origins.shop), "--mini-qq-listen", address(&origins.qq)]);
        if let Some(wallet) = &origins.wallet {
            command.args(["--wallet-url", wallet]);
        }
        let mut part = Part::start(held(&mut command, waits))?;
        let qq = part.says("mini-qq listening on ").await?;
        let shop = part.says("shop listening on ").await?;
        Ok((part, Origins { shop, qq, wallet: origins.wallet.clone() }))
    }

    async fn wallet(&self, origin: &str, waits: Option<&str>) -> Result<(Part, String), Surprise> {
        let mut command = self.command("wallet")?;
        let mut part = Part::start(held(command.args(["--listen", address(origin)]), waits))?;
        let origin = part.says("wallet listening on ").await?;
        Ok((part, origin))
    }

    async fn start(&self, cast: Cast) -> Result<(Part, Option<Part>, Origins), Surprise> {
        let mut origins = Origins { shop: FREE.to_owned(), qq: FREE.to_owned(), wallet: None };
        let Cast::Wallet { shop_waits, wallet_waits } = cast else {
            let (shop, origins) = self.shop(&origins, None).await?;
            return Ok((shop, None, origins));
        };
        let (wallet, origin) = self.wallet(FREE, wallet_waits).await?;
        origins.wallet = Some(origin);
        let (shop, origins) = self.shop(&origins, shop_waits).await?;
        Ok((shop, Some(wallet), origins))
    }

    async fn remove(&self) {
        if let Some(servers) = &self.servers
            && let Err(error) = servers.remove().await
        {
            eprintln!("what is under the namespace {} could not be removed: {error}", servers.namespace());
        }
    }
}

fn address(origin: &str) -> &str {
    origin.trim_start_matches("http://")
}

fn held<'a>(command: &'a mut Command, waits: Option<&str>) -> &'a mut Command {
    match waits {
        Some(point) => command.args(["--hold", point]),
        None => command,
    }
}

impl Stage {
    pub(super) async fn open(backends: &Backends, cast: Cast) -> Result<Self, Surprise> {
        let folder = tempfile::Builder::new().prefix("onceward-demo-").tempdir()?;
        let namespace = format!("demo_{}", &Uuid::new_v4().simple().to_string()[..12]).parse()?;
        let mut backends = backends.clone();
        let way = match (cast, &mut backends.amqp_url) {
            (Cast::ShopAndWay, None) => Some(Way::File(folder.path().join("broker.db"), None)),
            (Cast::ShopAndWay, Some(url)) => {
                let wire = Wire::to(url).await?;
                wire.url().clone_into(url);
                Some(Way::Wire(wire))
            }
            _ => None,
        };
        let servers = backends.servers(&namespace)?;
        let place = Place { folder, backends, servers };
        let (shop, wallet, origins) = match place.start(cast).await {
            Ok(started) => started,
            Err(error) => {
                place.remove().await;
                return Err(error);
            }
        };
        println!("a shop of its own at {}, data in {}", origins.shop, place.folder.path().display());
        if let Some(wallet) = &origins.wallet {
            println!("its wallets in a process of their own at {wallet}");
        }
        if let Some(servers) = &place.servers {
            println!("on servers, under the namespace {}, which is removed afterwards", servers.namespace());
        }
        Ok(Self { place, shop, wallet, way, origins, steps: 0 })
    }

    pub(super) fn browser(&self) -> Result<Browser, Surprise> {
        Browser::new(&self.origins.shop)
    }

    pub(super) fn title(&mut self, title: &str) {
        println!("\n{title}");
    }

    pub(super) fn step(&mut self, what: &str, evidence: &str) {
        self.steps += 1;
        println!("{:>3}. {what}\n     {evidence}", self.steps);
    }

    /// The process of the wallets.
    pub(super) fn wallet(&mut self) -> Result<&mut Part, Surprise> {
        self.wallet.as_mut().ok_or_else(|| "the wallets are in the shop".into())
    }

    /// The way to the broker.
    pub(super) fn way(&mut self) -> Result<&mut Way, Surprise> {
        self.way.as_mut().ok_or_else(|| "nobody minds the way to the broker".into())
    }

    /// The broker of the shop, to look at beside it.
    pub(super) async fn broker(&self) -> Result<Arc<dyn Broker>, Surprise> {
        Ok(self.place.home().broker().await?)
    }

    /// Starts the shop again on the same data and ports.
    pub(super) async fn restart(&mut self) -> Result<Duration, Surprise> {
        let started = Instant::now();
        (self.shop, self.origins) = self.place.shop(&self.origins, None).await?;
        Ok(started.elapsed())
    }

    /// Starts the wallets again on the same data and port.
    pub(super) async fn restart_wallet(&mut self) -> Result<Duration, Surprise> {
        let (started, origin) = (Instant::now(), self.origins.wallet.clone().unwrap_or_default());
        self.wallet = Some(self.place.wallet(&origin, None).await?.0);
        Ok(started.elapsed())
    }

    /// Stops everything in order and runs `shop verify` on what it left.
    pub(super) async fn verify(&mut self) -> Result<bool, Surprise> {
        println!("\nThe invariants, on the stores themselves");
        let beside = self.run_verify().await?;
        self.shop.stop().await?;
        if let Some(wallet) = &mut self.wallet {
            wallet.stop().await?;
        }
        println!("\nand once more after the shop has stopped");
        Ok(beside & self.run_verify().await?)
    }

    /// The stores of the shop, to look at beside it.
    pub(super) async fn look(&self) -> Result<Stores, Surprise> {
        let settings = Settings::read(self.place.folder.path())?;
        Ok(self.place.home().open(&settings, &Opening::whole(READY)).await?)
    }

    /// The stores of the shop, which must be stopped, and the right to them, which ends when it is dropped.
    pub(super) async fn take_over(&self) -> Result<(Home, (Folder, Right), Stores), Surprise> {
        let home = self.place.home();
        let folder = Folder::existing(self.place.folder.path())?;
        let right = home.claim(READY).await?.ok_or("another shop has the namespace")?;
        let stores = self.look().await?;
        stores.recover().await?;
        Ok((home, (folder, right), stores))
    }

    async fn run_verify(&self) -> Result<bool, Surprise> {
        Ok(self.place.command("verify")?.status().await?.success())
    }

    /// Ends everything, however it is, and removes what it kept on servers.
    pub(super) async fn strike(mut self) {
        let _ = self.shop.kill().await;
        if let Some(mut wallet) = self.wallet {
            let _ = wallet.kill().await;
        }
        if let Some(way) = &mut self.way {
            let _ = way.mend().await;
        }
        self.place.remove().await;
    }
}
