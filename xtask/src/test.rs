//! `test`: everything, on real services.

use crate::libtest::{self, Program, Report};
use crate::members::{self, Member};
use crate::up::{self, Started};
use crate::{Result, apart, cargo, services, stream};
use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::num::NonZero;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Instant;

/// Run all tests, those on real services included; the last line is `N passed, N failed`
///
/// Starts the services first and stops those that it started, on failure too. After Ctrl-C they stay recorded:
/// `cargo xtask down` stops them. Programs that stop services themselves, which their manifests list as `apart`, run at
/// the same time as all others, on services of their own. Plain `cargo test` needs no service and leaves these tests out.
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
    let mut report = Report::new(&[]);
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

    let cargo = |extra: &[String]| -> Result<Command> {
        let mut command = cargo::command()?;
        command.args(arguments(&members, !crates.is_empty())).args(extra);
        command.envs(up::urls(&wanted)?).env_remove(TOOL).stdin(Stdio::null());
        if let Some(scale) = scale {
            command.env("ONCEWARD_SCALE", scale.to_string());
        }
        // Half of the time they wait for a server or a lease.
        if std::env::var_os(THREADS).is_none() {
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            command.env(THREADS, (2 * cores).to_string());
        }
        Ok(command)
    };
    let begun = Instant::now();
    let programs = build(&mut cargo(extra)?, extra)?;
    *report = Report::new(&programs);
    println!("built in {:.0} s", begun.elapsed().as_secs_f32());

    let begun = Instant::now();
    let apart = apart::programs(&members);
    let answer = if extra.is_empty() && !apart.is_empty() {
        let (others, docs) = (cargo(&targets(&programs, &apart))?, cargo(&["--doc".to_owned()])?);
        let mut beside = apart::tool()?;
        beside.arg("test").args(crates).args(["--"]).args(apart.iter().flat_map(|name| ["--test", name]));
        if let Some(scale) = scale {
            beside.env("ONCEWARD_SCALE", scale.to_string());
        }
        lanes([others, docs], beside, &programs, report)
    } else {
        let mut command = cargo(extra)?;
        command.env(TOOL, std::env::current_exe().map_err(|e| format!("this program: {e}"))?);
        lane(&mut command, &mut stdout(), report)
    };
    println!("tests ran for {:.0} s", begun.elapsed().as_secs_f32());
    answer
}

/// By it, tests that need a fault halt a service and start it again. Only programs that nothing runs beside, or that have
/// the services for themselves, are told of it.
const TOOL: &str = "ONCEWARD_XTASK";

/// How many tests of one program run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs tests and passes on what they print.
fn lane(command: &mut Command, out: &mut impl Write, report: &mut Report) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = stream::lines(command, out, |line| report.line(line, Instant::now()))?;
    report.finish(status.success(), Instant::now());
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}")) }
}

/// Runs `commands` one after the other, and `beside` at the same time, whose output comes in one piece.
fn lanes<const N: usize>(
    commands: [Command; N],
    mut beside: Command,
    programs: &[Program],
    report: &mut Report,
) -> Result<()> {
    let (mut other, mut text) = (Report::new(programs), Vec::new());
    let answers = thread::scope(|scope| {
        let beside = scope.spawn(|| lane(&mut beside, &mut text, &mut other));
        let mut answers: Vec<_> =
            commands.into_iter().map(|mut command| lane(&mut command, &mut stdout(), report)).collect();
        answers.push(beside.join().unwrap_or_else(|_| Err("the thread beside panicked".to_owned())));
        answers
    });
    println!("\n-- apart, on services of their own");
    stdout().write_all(&text).map_err(|e| format!("output: {e}"))?;
    report.add(other);
    answers.into_iter().collect()
}

/// All that Cargo runs, but for the documentation and the programs `apart`.
fn targets(programs: &[Program], apart: &[&str]) -> Vec<String> {
    let tests = programs.iter().filter_map(|program| program.test.as_deref()).filter(|name| !apart.contains(name));
    let named = tests.collect::<BTreeSet<_>>().into_iter().flat_map(|name| ["--test", name]);
    ["--lib", "--bins"].into_iter().chain(named).map(str::to_owned).collect()
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

/// Builds all binaries before the first runs, so that times are of tests.
fn build(command: &mut Command, extra: &[String]) -> Result<Vec<Program>> {
    // What follows a second `--` is for the binaries: options of cargo go before it.
    if extra.iter().any(|word| word == "--") {
        return Ok(Vec::new());
    }
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err("the tests do not build".to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(libtest::program).collect())
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
    fn every_test_program_is_in_one_lane() {
        let program = |test: Option<&str>| {
            let test = test.map(str::to_owned);
            Program { file: String::new(), package: String::new(), test }
        };
        let programs = [None, Some("postgres"), Some("faults"), Some("postgres")].map(program);
        assert_eq!(targets(&programs, &["faults"]), ["--lib", "--bins", "--test", "postgres"]);
    }

    #[test]
    fn the_whole_workspace_but_the_benches() {
        let line = arguments(&members::all().unwrap(), false).join(" ");
        assert!(line.contains("--package shop"), "{line}");
        assert!(line.contains("failpoints"), "{line}");
        assert!(!line.contains("--package benches"), "{line}");
    }
}
