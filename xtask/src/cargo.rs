//! Cargo, called from inside `cargo run`.

use crate::{Result, paths};
use std::env::{join_paths, split_paths, var_os};
use std::path::PathBuf;
use std::process::Command;

/// Cargo at the root of the workspace, in the environment that the caller of this tool had: what `cargo run` adds
/// would change the fingerprints of build scripts, and each change of tool would build them again.
pub(crate) fn command() -> Result<Command> {
    let root = paths::workspace()?;
    let mut command = Command::new(var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    if let Some(path) = var_os("LD_LIBRARY_PATH") {
        let added = [Some(paths::target()?), var_os("RUSTUP_HOME").map(PathBuf::from)];
        let toolchain = |p: &PathBuf| p.to_string_lossy().contains("/toolchains/");
        let kept: Vec<_> = split_paths(&path)
            .filter(|p| !toolchain(p) && !added.iter().flatten().any(|prefix| p.starts_with(prefix)))
            .filter(|p| !p.as_os_str().is_empty())
            .collect();
        match join_paths(&kept) {
            Ok(path) if !kept.is_empty() => command.env("LD_LIBRARY_PATH", path),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    Ok(command)
}
