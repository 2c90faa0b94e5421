//! `onceward-mq`: what an operator asks of an outbox, and what is to become of messages that could not be sent.
//!
//! It reads the tables of the services, makes none, publishes nothing, and changes nothing but by `replay`, `resend`,
//! `release`, `pause`, `resume` and `purge`; the services' relays do the rest.

mod args;
mod choice;
mod commands;
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(
        dead_code,
        unreachable_code,
        unused_imports,
        unused_variables,
        reason = "used by the databases it is built for"
    )
)]
mod connect;
mod pace;
mod view;

use std::process::ExitCode;

use clap::Parser;
use onceward_backend::internal::cli;

use args::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(args) => cli::finish("onceward-mq", commands::run(&args).await, args.json),
        Err(error) if !error.use_stderr() => {
            // What was asked for: help, or the version.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Err(error) => cli::misused(&error.to_string()),
    }
}
