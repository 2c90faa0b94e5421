//! What a command has to say, in both forms, and how it is said.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;

use super::problem::{Problem, USAGE, without_urls};

/// What a command has to say.
#[derive(Debug)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs: one document.
    pub json: Value,
    /// What belongs to neither, for standard error.
    pub notes: Vec<String>,
}

impl Answer {
    /// An answer without notes.
    pub fn new(text: String, json: Value) -> Self {
        Self { text, json, notes: Vec::new() }
    }
}

/// Says what came of a command of `program`, and answers its exit code.
pub fn finish(program: &str, outcome: Result<Answer, Problem>, json: bool) -> ExitCode {
    match outcome.and_then(|answer| print(program, &answer, json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "{program}: {problem}");
            ExitCode::from(problem.code())
        }
    }
}

/// Says what is wrong with a command line. The text quotes what was not expected, which may be a URL that lost its option.
pub fn misused(text: &str) -> ExitCode {
    let _ = write!(io::stderr(), "{}", without_urls(text));
    ExitCode::from(USAGE)
}

fn print(program: &str, answer: &Answer, json: bool) -> Result<(), Problem> {
    for note in &answer.notes {
        let _ = writeln!(io::stderr(), "{program}: {note}");
    }
    let text = if json { format!("{:#}\n", answer.json) } else { format!("{}\n", answer.text.trim_end()) };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Problem::refused(format!("the answer cannot be written: {error}"))),
    }
}
