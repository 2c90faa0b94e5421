//! `shop`: serve, demo, verify.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use shop::cli::{Cli, Command};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command();
    // A demonstration and a check print their own findings; only what went wrong may come between.
    // The client of RabbitMQ logs answers that are expected, and returned messages with what is in them.
    let level = if matches!(command, Command::Serve(_) | Command::Wallet(_)) {
        "info,lapin=off,sqlx=warn"
    } else {
        "error,lapin=off"
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    shop::marks::arm();
    let outcome = match command {
        Command::Serve(args) => shop::serve::run(&args).await.map(|()| ExitCode::SUCCESS),
        Command::Wallet(args) => shop::wallet::serve::run(&args).await.map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => shop::demo::run(&args).await,
        Command::Verify(args) => return shop::verify::run(&args).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("shop: {}", shop::problem::chain(&*error));
        ExitCode::FAILURE
    })
}
