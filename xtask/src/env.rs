//! `env`: the URLs, for a shell.

use crate::{Result, services, up};

/// Print `export NAME=url` lines; use them with `eval "$(cargo xtask env)"`
///
/// Whether the services run does not matter; a variable that is set already is printed as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these [default: all]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for (name, url) in up::urls(&services::named(&args.names)?)? {
        println!("export {name}={}", quoted(&url));
    }
    Ok(())
}

/// For a POSIX shell: unchanged where no character has a meaning there.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/@._-%=,+".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_url_cannot_end_the_word_or_start_a_command() {
        assert_eq!(quoted("redis://127.0.0.1:1/"), "redis://127.0.0.1:1/");
        assert_eq!(quoted("mysql://h/d?a=1&b=$(x)"), "'mysql://h/d?a=1&b=$(x)'");
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
