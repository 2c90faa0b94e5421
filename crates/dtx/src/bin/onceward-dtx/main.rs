//! `onceward-dtx`: what an operator asks of a coordinator and of the databases with undo records.
//!
//! It joins as one more coordinator that takes on no work, makes no table, and changes nothing but by `repair` and
//! `rollback`.

mod answer;
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
mod problem;
mod scheme;
mod span;
mod table;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use answer::Answer;
use args::Cli;
use problem::Problem;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // What was asked for: help, or the version.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // It quotes what it did not expect, which may be a URL that lost its option.
            let _ = write!(io::stderr(), "{}", problem::without_urls(&error.to_string()));
            return ExitCode::from(problem::USAGE);
        }
    };
    match commands::run(&cli).await.and_then(|answer| print(&answer, cli.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "onceward-dtx: {problem}");
            ExitCode::from(problem.code())
        }
    }
}

fn print(answer: &Answer, json: bool) -> Result<(), Problem> {
    for note in &answer.notes {
        let _ = writeln!(io::stderr(), "onceward-dtx: {note}");
    }
    let text = if json { format!("{:#}\n", answer.json) } else { format!("{}\n", answer.text.trim_end()) };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Problem::refused(format!("the answer cannot be written: {error}"))),
    }
}
