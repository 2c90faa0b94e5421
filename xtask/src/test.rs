//! `test`: everything, on real services.

use crate::libtest::{Report, executable};
use crate::members::{self, Member};
use crate::up::{self, Started};
use crate::{Result, cargo, services, stream};
use std::collections::{BTreeSet, HashMap};
use std::io::stdout;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Run all tests, those on real services included; the last line is `N passed, N failed`
///
/// Starts the services first and stops those that it started, on failure too. After Ctrl-C they stay recorded:
/// `cargo xtask down` stops them. Plain `cargo test` needs no service and leaves these tests out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these, by package or folder (idempotency, shop) [default: the workspace]
    crates: Vec<String>,
    /// Leave the services running
    #[arg(long)]
    keep: bool,
    /// Passed to `cargo test`, such as `-- --test postgres -- lease`
    #[arg(last = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    whole(&args.crates, &args.cargo, args.keep, None)
}

/// Runs and reports; with a `scale` the report is of every binary. The closing line is the last thing printed.
pub(crate) fn whole(crates: &[String], extra: &[String], keep: bool, scale: Option<u32>) -> ExitCode {
    let mut report = Report::new(HashMap::new());
    let answer = tested(crates, extra, keep, scale, &mut report);
    let most = if scale.is_some() { usize::MAX } else { 20 };
    println!("\n{}", report.table(most));
    let (passed, mut failed) = (report.passed(), report.failed());
    if let Err(message) = &answer {
        println!("error: {message}");
        // What did not even build or start has failed too.
        failed = failed.max(1);
    } else if passed + failed == 0 {
        println!("error: not one test ran");
    }
    println!("{passed} passed, {failed} failed");
    let good = answer.is_ok() && failed == 0 && passed > 0;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tested(crates: &[String], extra: &[String], keep: bool, scale: Option<u32>, report: &mut Report) -> Result<()> {
    let members = members::named(crates)?;
    let wanted: Vec<_> = services::ALL
        .into_iter()
        .filter(|s| crates.is_empty() || members.iter().any(|m| m.services().any(|n| n.name == s.name)))
        .collect();
    let mut started = Started::new(keep);
    up::start(&wanted, false, &mut started.services)?;

    // By it, tests that need a fault halt a service and start it again.
    let this = std::env::current_exe().map_err(|e| format!("this program: {e}"))?;
    let cargo = || -> Result<Command> {
        let mut command = cargo::command()?;
        command.args(arguments(&members, !crates.is_empty())).args(extra);
        command.envs(up::urls(&wanted)?).env("ONCEWARD_XTASK", &this).stdin(Stdio::null());
        if let Some(scale) = scale {
            command.env("ONCEWARD_SCALE", scale.to_string());
        }
        Ok(command)
    };
    let begun = Instant::now();
    *report = Report::new(build(&mut cargo()?, extra)?);
    println!("built in {:.0} s", begun.elapsed().as_secs_f32());

    let begun = Instant::now();
    let status = stream::lines(&mut cargo()?, &mut stdout(), |line| report.line(line, Instant::now()))?;
    report.finish(status.success(), Instant::now());
    println!("tests ran for {:.0} s", begun.elapsed().as_secs_f32());
    if status.success() { Ok(()) } else { Err(format!("cargo test ended with {status}")) }
}

/// `cargo test` with every feature that tests want. The benches are built by their own verb and by `check`.
fn arguments(members: &[Member], chosen: bool) -> Vec<String> {
    let mut arguments = vec!["test".to_owned(), "--no-fail-fast".to_owned()];
    let tested = members.iter().filter(|member| chosen || member.name() != "benches");
    // By bare names: Cargo gives each to every chosen package that has it. With `package/feature` it would leave out
    // the optional dependencies that such a feature switches on in a test dependency.
    let features: BTreeSet<_> = tested.clone().flat_map(Member::test_features).collect();
    if !features.is_empty() {
        let features: Vec<_> = features.into_iter().collect();
        arguments.extend(["--features".to_owned(), features.join(",")]);
    }
    for member in tested {
        arguments.extend(["--package".to_owned(), member.name().to_owned()]);
    }
    arguments
}

/// Builds all binaries before the first runs, so that times are of tests; answers the package of each.
fn build(command: &mut Command, extra: &[String]) -> Result<HashMap<String, String>> {
    // What follows a second `--` is for the binaries: options of cargo go before it.
    if extra.iter().any(|word| word == "--") {
        return Ok(HashMap::new());
    }
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err("the tests do not build".to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_chosen_packages_only() {
        let members = members::named(&["idempotency".to_owned()]).unwrap();
        let line = arguments(&members, true).join(" ");
        assert!(line.contains("test-redis"), "{line}");
        assert!(line.ends_with("--package onceward-idempotency"), "{line}");
        assert!(!line.contains("shop"), "{line}");
    }

    #[test]
    fn the_whole_workspace_but_the_benches() {
        let line = arguments(&members::all().unwrap(), false).join(" ");
        assert!(line.contains("--package shop"), "{line}");
        assert!(line.contains("failpoints"), "{line}");
        assert!(!line.contains("--package benches"), "{line}");
    }
}
