//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

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
    /// Folder of everything the shop keeps
    #[arg(long, default_value = "target/shop", value_name = "DIR")]
    pub data: PathBuf,
    /// Start with an empty folder: removes the shop's own files from it
    #[arg(long)]
    pub fresh: bool,
    /// Seed of the catalogue; kept with the data [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long an order form can be submitted: 500ms, 2s, 30m, 1h
    #[arg(long, default_value = "30m", value_parser = duration, value_name = "TIME")]
    pub order_token_ttl: Duration,
    /// Servers to run on
    #[command(flatten)]
    pub backends: Backends,
}

/// Servers to run on instead of the embedded stores.
#[derive(Clone, Debug, Args)]
pub struct Backends {
    /// Redis of sessions, carts and tokens
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// PostgreSQL of orders, stock and wallet
    #[arg(long, env = "POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    pub postgres_url: Option<String>,
    /// MariaDB of notifications
    #[arg(long, env = "MYSQL_URL", hide_env_values = true, value_name = "URL")]
    pub mysql_url: Option<String>,
    /// RabbitMQ between them
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    pub amqp_url: Option<String>,
}

impl Backends {
    /// Refuses what this version cannot run on.
    ///
    /// # Errors
    /// Names the missing URLs if only some are given; if all are, says that this version is embedded only.
    pub fn check(&self) -> Result<(), String> {
        let all = [
            ("REDIS_URL", &self.redis_url),
            ("POSTGRES_URL", &self.postgres_url),
            ("MYSQL_URL", &self.mysql_url),
            ("AMQP_URL", &self.amqp_url),
        ];
        let missing: Vec<_> = all.iter().filter(|(_, url)| url.is_none()).map(|(name, _)| *name).collect();
        match missing.len() {
            4 => Ok(()),
            0 => Err("this version runs embedded only; unset REDIS_URL, POSTGRES_URL, MYSQL_URL and AMQP_URL".into()),
            _ => Err(format!("missing {}: give all four URLs, or none to run embedded", missing.join(", "))),
        }
    }
}

/// Options of `shop demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Which demonstration [default: the whole journey]
    #[arg(value_enum)]
    pub name: Option<Demo>,
}

/// The demonstrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Demo {
    /// Log in, fill the cart, order, be notified; then submit twice, run out of stock, and kill the shop
    Journey,
    /// Twenty parallel posts of one order token
    DoubleSubmit,
    /// Second SKU out of stock: nothing of the order stays
    StockShort,
    /// SIGKILL while orders are running, restart on the same data
    Kill,
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
        assert!(some.check().is_err_and(|error| error.starts_with("missing POSTGRES_URL, MYSQL_URL:")));
        let none = Backends { redis_url: None, postgres_url: None, mysql_url: None, amqp_url: None };
        assert_eq!(none.check(), Ok(()));
    }
}
