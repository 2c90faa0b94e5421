//! Runs the program.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What it came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it with these arguments, and with nothing in its environment but the name of its user.
pub(crate) fn run(args: &[&str]) -> Ran {
    run_with(args, &[])
}

pub(crate) fn run_with(args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward-dtx"));
    command.args(args).env_clear().env("USER", "tess").envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// The URL of a SQLite file.
pub(crate) fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

impl Ran {
    /// What it printed, having done it and with nothing to remark.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The one line that says why not.
    #[track_caller]
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str(), self.err.lines().count()), (code, "", 1), "{}", self.err);
        self.err
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// The words of the line that begins with one of them.
    #[track_caller]
    pub(crate) fn line(self, first: &str) -> Vec<String> {
        words(&self.good(), first)
    }
}

#[track_caller]
pub(crate) fn words(text: &str, first: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("no {first} in {text}"));
    line.split_whitespace().map(str::to_owned).collect()
}
