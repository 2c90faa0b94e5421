//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use reqwest::Url;

use crate::hold::Point;
use crate::home::Home;
use crate::serve::ServeError;
use crate::servers::{Namespace, Servers};

/// A shop on the Onceward crates. Without a command it serves: everything in one process, nothing to install.
#[derive(Debug, Parser)]
#[command(name = "shop", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

impl Cli {
    /// The command that was given, or `serve`.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the shop and its authorization server mini-qq until SIGINT or SIGTERM
    Serve(ServeArgs),
    /// Serve the wallets of a shop in a process of their own, for a `serve` with --wallet-url
    Wallet(WalletArgs),
    /// Walk the whole journey over HTTP against a shop of its own, showing the evidence of each step
    Demo(DemoArgs),
    /// Check the shop's invariants on the stores themselves (exit 0 they hold, 1 they do not, 2 no stores to read)
    Verify(VerifyArgs),
}

/// Options of `shop serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where the shop listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where mini-qq listens [default: the next port, or a free one with --listen …:0]
    #[arg(long, value_name = "ADDR")]
    pub mini_qq_listen: Option<SocketAddr>,
    /// Folder of everything the shop keeps; on servers, of its keys and of mini-qq's identities
    #[arg(long, default_value = "target/shop", value_name = "DIR")]
    pub data: PathBuf,
    /// Start with an empty folder: removes the shop's own files from it, and nothing from a server
    #[arg(long)]
    pub fresh: bool,
    /// Seed of the catalogue; kept with the data [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long an order form can be submitted: 500ms, 2s, 30m, 1h
    #[arg(long, default_value = "30m", value_parser = duration, value_name = "TIME")]
    pub order_token_ttl: Duration,
    /// Origin of a `shop wallet` on the same data, which has the wallets instead of this process
    #[arg(long, value_name = "URL", value_parser = origin)]
    pub wallet_url: Option<Url>,
    /// Wait there, once, for a line on standard input
    #[arg(long, hide = true)]
    pub hold: Option<Point>,
    /// Servers to run on
    #[command(flatten)]
    pub backends: Backends,
    /// Which shop on them
    #[command(flatten)]
    pub name: Name,
}

/// Options of `shop wallet`.
#[derive(Clone, Debug, Args)]
pub struct WalletArgs {
    /// Where it listens, for the shop alone; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Folder of the shop
    #[arg(long, default_value = "target/shop", value_name = "DIR")]
    pub data: PathBuf,
    /// Wait there, once, for a line on standard input
    #[arg(long, hide = true)]
    pub hold: Option<Point>,
    /// Servers that the shop runs on
    #[command(flatten)]
    pub backends: Backends,
    /// Which shop on them
    #[command(flatten)]
    pub name: Name,
}

/// Servers to run on instead of the embedded stores: all four, or none.
#[derive(Clone, Debug, Args)]
pub struct Backends {
    /// Redis of sessions, carts, order tokens and logins
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// PostgreSQL of users, orders, stock, wallets and the coordinator
    #[arg(long, env = "POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    pub postgres_url: Option<String>,
    /// MariaDB of notifications
    #[arg(long, env = "MYSQL_URL", hide_env_values = true, value_name = "URL")]
    pub mysql_url: Option<String>,
    /// RabbitMQ between them
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    pub amqp_url: Option<String>,
}

/// Which shop of those that share the servers.
#[derive(Clone, Debug, Args)]
pub struct Name {
    /// What the shop's databases, keys and queues on the servers begin with: NAME_orders, NAME:…, NAME.…
    #[arg(long, env = "SHOP_NAMESPACE", default_value = "shop", value_name = "NAME")]
    pub namespace: Namespace,
}

impl Backends {
    /// The servers, or `None` to run embedded.
    ///
    /// # Errors
    /// Names the missing URLs if only some are given, and a URL that is none.
    pub fn servers(&self, namespace: &Namespace) -> Result<Option<Servers>, ServeError> {
        match (&self.redis_url, &self.postgres_url, &self.mysql_url, &self.amqp_url) {
            (None, None, None, None) => Ok(None),
            (Some(redis), Some(postgres), Some(mysql), Some(amqp)) => {
                Ok(Some(Servers::new(redis, postgres, mysql, amqp, namespace.clone())?))
            }
            (redis, postgres, mysql, amqp) => {
                let all = [("REDIS_URL", redis), ("POSTGRES_URL", postgres), ("MYSQL_URL", mysql), ("AMQP_URL", amqp)];
                let missing: Vec<_> = all.iter().filter(|(_, url)| url.is_none()).map(|(name, _)| *name).collect();
                Err(format!("missing {}: give all four URLs, or none to run embedded", missing.join(", ")).into())
            }
        }
    }

    /// Where the shop with this folder keeps its stores.
    ///
    /// # Errors
    /// As [`servers`](Self::servers).
    pub fn home(&self, folder: &Path, namespace: &Namespace) -> Result<Home, ServeError> {
        Ok(self
            .servers(namespace)?
            .map_or_else(|| Home::Folder(folder.to_owned()), |servers| Home::Servers(Box::new(servers))))
    }
}

/// Options of `shop demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Which demonstration [default: the whole journey]
    #[arg(value_enum)]
    pub name: Option<Demo>,
    /// Servers to run on, under a namespace that is removed afterwards
    #[command(flatten)]
    pub backends: Backends,
}

/// The demonstrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Demo {
    /// Log in, fill the cart, order, be notified; then submit twice, run out of stock, kill the shop, and repair a wallet
    Journey,
    /// Twenty parallel posts of one order token
    DoubleSubmit,
    /// Second SKU out of stock: nothing of the order stays
    StockShort,
    /// SIGKILL while orders are running, restart on the same data
    Kill,
    /// The wallet, a process of its own, is killed after it has charged and before it answers
    KillWallet,
    /// The shop, which began the transaction, is killed before it decides; the wallet's coordinator rolls it back
    KillOrderTm,
    /// The shop, which coordinates, is killed in the second phase; the wallet's coordinator ends it
    KillCoordinator,
    /// A wallet overwritten from outside while its charge is rolled back: shown, tried, repaired
    DirtyWrite,
    /// The broker is gone while people order; what they are told waits in the outbox and comes once when it is back
    BrokerDown,
    /// A message that no handler can read: parked, while everybody else is notified; replayed, and given up
    PoisonMessage,
}

/// Options of `shop verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Folder of the shop
    #[arg(long, default_value = "target/shop", value_name = "DIR")]
    pub data: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Servers that the shop runs on
    #[command(flatten)]
    pub backends: Backends,
    /// Which shop on them
    #[command(flatten)]
    pub name: Name,
}

/// Reads `http://host:port`.
fn origin(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "write an origin as http://127.0.0.1:8090".to_owned())?;
    let is_origin = matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() == "/";
    if is_origin { Ok(url) } else { Err("write an origin as http://127.0.0.1:8090".into()) }
}

/// Reads `500ms`, `2s`, `30m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a time as 500ms, 2s, 30m or 1h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "write a time as 500ms, 2s, 30m or 1h".to_owned())?;
    number
        .checked_mul(milliseconds)
        .filter(|total| *total > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| "the time must be more than zero and fit".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in [("500ms", 500), ("2s", 2_000), ("30m", 1_800_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "2", "s", "2 s", "-1s", "1.5s", "0s", "1d", "99999999999999999999s", "9999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn serve_is_the_default_command() {
        let Command::Serve(args) = Cli::parse_from(["shop", "--listen", "127.0.0.1:0"]).command() else { panic!() };
        assert_eq!(args.listen.port(), 0);
    }

    #[test]
    fn a_part_of_the_backends_is_refused_by_name() {
        let given = |url: bool| url.then(|| "x://".to_owned());
        let some = Backends { redis_url: given(true), postgres_url: None, mysql_url: None, amqp_url: given(true) };
        let refused = some.servers(&"shop".parse().unwrap()).unwrap_err().to_string();
        assert!(refused.starts_with("missing POSTGRES_URL, MYSQL_URL:"), "{refused}");
        let none = Backends { redis_url: None, postgres_url: None, mysql_url: None, amqp_url: None };
        assert!(none.servers(&"shop".parse().unwrap()).unwrap().is_none());
    }
}
