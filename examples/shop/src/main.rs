//! `shop`: serve, demo, verify.

use std::process::ExitCode;

use clap::Parser;
use shop::cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    shop::marks::arm();
    let outcome = match cli.command() {
        Command::Serve(args) => shop::serve::run(&args).await.map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => shop::demo::run(&args).await,
        Command::Verify(args) => return shop::verify::run(&args).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("shop: {error:#}");
        ExitCode::FAILURE
    })
}
