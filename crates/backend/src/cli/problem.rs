//! Why the program did not do what was asked, in one line.

use std::error::Error;
use std::fmt;

use crate::error::chain;

/// The exit code of a wrong call, and of a database that cannot be reached or is not what it was given for.
pub(super) const USAGE: u8 = 2;
const REFUSED: u8 = 1;

/// Why not, and with which exit code.
#[derive(Debug)]
pub struct Problem {
    text: String,
    code: u8,
}

impl Problem {
    /// A wrong call, or a wrong database.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: USAGE }
    }

    /// Refused or failed.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: REFUSED }
    }

    pub(super) const fn code(&self) -> u8 {
        self.code
    }
}

impl<E: Error> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::refused(chain(&error))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.text.split_whitespace().collect();
        f.write_str(&without_urls(&words.join(" ")))
    }
}

/// A text without what stands behind `://` in it: a URL may hold a secret anywhere.
pub(super) fn without_urls(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')'));
        // A list of schemes, as in the help, has nothing behind them.
        shown.push_str(if end == Some(0) || part.is_empty() { "://" } else { "://…" });
        shown.push_str(end.map_or("", |end| &part[end..]));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_without_urls() {
        let problem = Problem::refused("no\n  way to 'postgres://ann:se cret@db/x'");
        assert_eq!(problem.to_string(), "no way to 'postgres://… cret@db/x'");
        assert_eq!(
            without_urls("'a=mysql://u:p@h/d' or sqlite:x, mysql://, b://"),
            "'a=mysql://… or sqlite:x, mysql://, b://"
        );
    }
}
