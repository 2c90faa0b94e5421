//! `onceward-dtx`: what an operator asks of a coordinator and of the databases with undo records.
//!
//! It joins as one more coordinator that takes on no work, makes no table, and changes nothing but by `repair` and
//! `rollback`.

mod args;
mod commands;
#[cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    allow(
        dead_code,
        unreachable_code,
        unused_imports,
        unused_variables,
        reason = "used by the databases it is built for"
    )
)]
mod connect;
mod view;

use std::process::ExitCode;

use clap::Parser;
use onceward_backend::internal::cli;

use args::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(args) => cli::finish("onceward-dtx", commands::run(&args).await, args.json),
        Err(error) if !error.use_stderr() => {
            // What was asked for: help, or the version.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Err(error) => cli::misused(&error.to_string()),
    }
}
