//! The house rules that no compiler checks. Each rule is a function over text, so that it can be shown what it refuses.

use crate::members::{self, Member};
use crate::{Result, paths};
use std::fmt::{self, Display};
use std::fs;
use std::path::Path;
use std::process::Command;

mod crates;
mod layout;
mod length;
mod modules;
mod traces;
mod uses;
mod words;

/// What is wrong, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    file: String,
    line: usize,
    text: String,
}

impl Complaint {
    fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, text: text.into() }
    }
}

impl Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// A source file, by its path from the root.
#[derive(Debug)]
struct Source {
    file: String,
    text: String,
}

/// Checks every rule on the whole workspace.
pub(crate) fn run() -> Result<()> {
    let root = paths::workspace()?;
    let members = members::all()?;
    let sources = sources(&root)?;
    let mut complaints = Vec::new();
    for Source { file, text } in &sources {
        complaints.extend(length::check(file, text));
        complaints.extend(words::check(file, text));
    }
    for member in &members {
        complaints.extend(crates::check(&manifest_file(member), &member.manifest));
        complaints.extend(layout::check(&root, member));
        // Arrows between modules are drawn for the published crates only.
        if member.manifest.published() {
            complaints.extend(modules::check(&of_member(member, &sources)));
        }
    }
    complaints.extend(traces::check(&root)?);
    for complaint in &complaints {
        println!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => Err(format!("{count} places break a house rule")),
    }
}

fn manifest_file(member: &Member) -> String {
    member.folder.join("Cargo.toml").display().to_string()
}

/// A member's own sources, from its `src` folder on.
fn of_member<'a>(member: &Member, sources: &'a [Source]) -> Vec<(&'a str, &'a Source)> {
    let folder = format!("{}/src/", member.folder.display());
    sources.iter().filter_map(|s| Some((s.file.strip_prefix(&folder)?, s))).collect()
}

/// Every Rust file that is tracked, or would be.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let listed = git(root, &["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])?;
    let mut files: Vec<_> = listed.lines().collect();
    files.sort_unstable();
    files.dedup();
    let mut sources = Vec::new();
    for file in files {
        // Listed but deleted is not yet committed as such.
        if let Ok(text) = fs::read_to_string(root.join(file)) {
            sources.push(Source { file: file.to_owned(), text });
        }
    }
    if sources.is_empty() { Err("git lists no source".to_owned()) } else { Ok(sources) }
}

/// What git prints; ending with 1 and nothing means "none".
fn git(root: &Path, args: &[&str]) -> Result<String> {
    // A checkout that belongs to another account, as in many a container, is read all the same.
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*"]).args(args).current_dir(root);
    let output = command.output().map_err(|e| format!("git: {e}"))?;
    let none = output.status.code() == Some(1) && output.stderr.is_empty();
    if !(output.status.success() || none) {
        return Err(format!("git: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
