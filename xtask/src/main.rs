//! The one tool of the workspace: services, tests, checks, soak, benches, load. `cargo xtask --help` lists the verbs.

#![allow(
    clippy::disallowed_methods,
    reason = "a blocking program with one purpose: it reads the environment and waits for processes by sleeping"
)]

use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod alarm;
mod apart;
mod bench;
mod cargo;
mod check;
mod code;
mod down;
mod env;
mod halt;
mod install;
mod libtest;
mod load;
mod manifest;
mod members;
mod paths;
mod probe;
mod process;
mod record;
mod services;
mod soak;
mod stream;
mod test;
mod tidy;
mod up;

/// Every failure of this tool is a sentence for the person at the terminal.
type Result<T, E = String> = std::result::Result<T, E>;

const AFTER: &str = "\
Services: each is taken from its URL variable (REDIS_URL POSTGRES_URL MYSQL_URL AMQP_URL NATS_URL) when that is set,
unless it is what `env` printed for one that runs here; else the distribution's server is started on a loopback port of
its own, with its data under target/services/. A RabbitMQ of yours needs its management plugin, at AMQP_ADMIN_URL.

Environment:
  ONCEWARD_PORT_BASE     first port of the services (default 26300)
  ONCEWARD_SERVICES_DIR  folder of their data, logs and records (default: services/ in the target folder)
  ONCEWARD_SCALE         size of randomised, kill and load tests (default 1; `soak` sets it)";

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The one tool of the workspace", after_help = AFTER, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Args),
    Down(down::Args),
    Halt(halt::Args),
    Alarm(alarm::Args),
    Env(env::Args),
    Test(test::Args),
    Check(check::Args),
    Soak(soak::Args),
    Bench(bench::Args),
    Load(load::Args),
}

fn main() -> ExitCode {
    let answer = match Line::parse().verb {
        Verb::Up(args) => up::run(&args),
        Verb::Down(args) => down::run(&args),
        Verb::Halt(args) => halt::run(&args),
        Verb::Alarm(args) => alarm::run(&args),
        Verb::Env(args) => env::run(&args),
        Verb::Test(args) => return test::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Soak(args) => return soak::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Load(args) => load::run(&args),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
