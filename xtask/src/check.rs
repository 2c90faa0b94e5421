//! `check`: everything that needs no service and no test run.

use crate::{Result, cargo, tidy};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Check format, house rules, banned packages, lints, docs and feature combinations
///
/// All steps run, also after one that fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps: fmt tidy bans clippy docs features [default: all]
    steps: Vec<String>,
}

type Step = (&'static str, fn() -> Result<()>);

/// The quick ones first.
const STEPS: [Step; 6] = [
    ("fmt", || {
        let names = ["fmt", "--all", "--check", "--", "-l"];
        run_cargo(&names, None).map_err(|_| "format these with `cargo fmt --all`".to_owned())
    }),
    ("tidy", tidy::run),
    ("bans", bans),
    ("clippy", || {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        run_cargo(&all, None)
    }),
    ("docs", || {
        let all = ["doc", "--workspace", "--no-deps", "--all-features"];
        run_cargo(&all, Some(("RUSTDOCFLAGS", "-D warnings")))
    }),
    ("features", features),
];

/// Packages that a second TLS stack or crypto provider would bring.
const BANNED: [&str; 2] = ["ring", "openssl-sys"];

/// Features and crates, chosen to catch an item that forgets its feature: nothing, each backend alone, and pairs that
/// touch. Only the library is built, so that no feature of a test dependency helps out. Crates in one row have the feature
/// in common and switch on nothing else in one another, so they share one build of what they depend on.
const COMBINATIONS: [(&str, &[&str]); 10] = [
    ("", &["onceward-backend", "onceward-idempotency", "onceward-cart-store", "onceward-reliable-mq", "onceward-dtx"]),
    // Apart: what it depends on switches on much of what the others may have forgotten.
    ("", &["onceward-oauth-client"]),
    ("redis", &["onceward-backend", "onceward-idempotency", "onceward-reliable-mq", "onceward-oauth-client"]),
    ("sqlite", &["onceward-backend", "onceward-reliable-mq", "onceward-dtx", "onceward-oauth-client"]),
    ("postgres", &["onceward-backend", "onceward-idempotency", "onceward-dtx"]),
    ("mysql", &["onceward-backend", "onceward-cart-store"]),
    ("nats", &["onceward-reliable-mq"]),
    ("reliable-mq", &["onceward-dtx"]),
    ("layer", &["onceward-dtx"]),
    ("reqwest", &["onceward-dtx"]),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    for wanted in &args.steps {
        if !STEPS.iter().any(|(name, _)| name == wanted) {
            let known: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
            return Err(format!("no step `{wanted}`; known are: {}", known.join(" ")));
        }
    }
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        if !args.steps.is_empty() && !args.steps.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("-- {name}");
        let begun = Instant::now();
        let answer = step();
        let seconds = begun.elapsed().as_secs_f32();
        match answer {
            Ok(()) => println!("-- {name}: good, {seconds:.1} s"),
            Err(message) => {
                println!("-- {name}: FAILED, {seconds:.1} s: {message}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("check failed: {}", failed.join(" "))) }
}

fn run_cargo(args: &[&str], env: Option<(&str, &str)>) -> Result<()> {
    let mut command = cargo::command()?;
    command.args(args).envs(env).stdin(Stdio::null());
    let status = command.status().map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} ended with {status}", args[0])) }
}

fn bans() -> Result<()> {
    for package in BANNED {
        let mut command = cargo::command()?;
        let found = users(command.args(["tree", "--workspace", "--all-features", "--invert", package]))?;
        if !found.is_empty() {
            return Err(format!("`{package}` is in the graph; switch off the feature that brings it:\n{found}"));
        }
    }
    Ok(())
}

/// What `cargo tree --invert` prints; nothing where the graph does not hold the package.
fn users(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|e| format!("cargo tree: {e}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !errors.contains("did not match any packages") {
        return Err(errors.trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn features() -> Result<()> {
    let mut failed = Vec::new();
    for (feature, packages) in COMBINATIONS {
        let begun = Instant::now();
        let shown = format!("{} with {}", packages.join(" "), if feature.is_empty() { "none" } else { feature });
        let mut args = vec!["check", "--quiet", "--lib", "--no-default-features", "--features", feature];
        args.extend(packages.iter().flat_map(|package| ["--package", package]));
        let answer = run_cargo(&args, None);
        println!("   {shown}: {:.1} s", begun.elapsed().as_secs_f32());
        if answer.is_err() {
            failed.push(shown);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members;

    #[test]
    fn every_combination_exists_and_every_published_crate_has_one() {
        let members = members::all().unwrap();
        for (feature, packages) in COMBINATIONS {
            for package in packages {
                let member = members.iter().find(|member| member.name() == *package);
                let has = |name: &str| member.is_some_and(|m| m.manifest.features().any(|f| f == name));
                assert!(has(if feature.is_empty() { "default" } else { feature }), "{package} {feature}");
            }
        }
        for member in members.iter().filter(|member| member.manifest.published()) {
            let name = member.name();
            let alone = COMBINATIONS.iter().filter(|(feature, _)| feature.is_empty());
            assert!(alone.into_iter().any(|(_, packages)| packages.contains(&name)), "{name} has no combination");
        }
    }
}
