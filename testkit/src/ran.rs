//! A program that runs to its end.

use std::process::Command;

use serde_json::Value;

/// What a program came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to its standard output.
    pub out: String,
    /// What it wrote to its standard error.
    pub err: String,
}

impl Ran {
    /// Runs it with these arguments, and with nothing else in its environment.
    ///
    /// # Panics
    /// If it cannot be started, is killed, or writes something that is no text.
    #[track_caller]
    pub fn of(program: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let output = Command::new(program).args(args).env_clear().envs(env.iter().copied()).output();
        let output = output.expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("it writes text");
        let code = output.status.code().expect("it ends by itself");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed, having done it and with nothing to remark.
    ///
    /// # Panics
    /// Unless that is so.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The one line that says why not, with this exit code.
    ///
    /// # Panics
    /// Unless that is so.
    #[track_caller]
    pub fn bad(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str(), self.err.lines().count()), (code, "", 1), "{}", self.err);
        self.err
    }

    /// The document that it printed.
    ///
    /// # Panics
    /// Unless it did.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.good()).expect("it prints one document")
    }

    /// The words of the line that begins with one of them.
    ///
    /// # Panics
    /// As [`words`].
    #[track_caller]
    pub fn line(self, first: &str) -> Vec<String> {
        words(&self.good(), first)
    }
}

/// The words of the line that begins with one of them.
///
/// # Panics
/// If no line does.
#[track_caller]
pub fn words(text: &str, first: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("no {first} in {text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_was_printed_and_with_which_code() {
        let ran = Ran::of("sh", &["-c", "echo \"one $WHO\"; echo two"], &[("WHO", "ann")]);
        assert_eq!(ran.line("one"), ["one", "ann"]);
        assert_eq!(Ran::of("sh", &["-c", "echo no >&2; exit 3"], &[]).bad(3), "no\n");
    }
}
