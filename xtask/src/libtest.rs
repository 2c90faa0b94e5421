//! What `cargo test` prints, added up.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// One test binary, or the doc tests of one crate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    pub(crate) label: String,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) spent: Duration,
    /// Did it say how it ended? A binary that crashed did not.
    concluded: bool,
}

/// All binaries of one run.
#[derive(Debug)]
pub(crate) struct Report {
    /// The package of each executable.
    packages: HashMap<String, String>,
    binaries: Vec<Binary>,
    since: Instant,
}

impl Report {
    pub(crate) fn new(programs: &[Program]) -> Self {
        let packages = programs.iter().map(|program| (program.file.clone(), program.package.clone())).collect();
        Self { packages, binaries: Vec::new(), since: Instant::now() }
    }

    /// Takes one line of output; `now` is when it came.
    pub(crate) fn line(&mut self, line: &str, now: Instant) {
        let text = line.trim_start();
        if let Some(rest) = text.strip_prefix("Running ").filter(|_| text != line) {
            self.next(self.label(rest), now);
        } else if let Some(name) = text.strip_prefix("Doc-tests ").filter(|_| text != line) {
            self.next(format!("{} doc tests", name.replace('_', "-")), now);
        } else if let (Some(rest), Some(binary)) = (line.strip_prefix("test result: "), self.binaries.last_mut()) {
            binary.passed += count(rest, "passed");
            binary.failed += count(rest, "failed");
            binary.concluded = true;
        }
    }

    /// A command ended. Where it failed, a binary that never concluded is a failure.
    pub(crate) fn finish(&mut self, good: bool, now: Instant) {
        self.close(now);
        for binary in self.binaries.iter_mut().filter(|binary| !binary.concluded) {
            binary.concluded = true;
            if !good {
                binary.failed += 1;
                binary.label.push_str(" (ended without a result)");
            }
        }
    }

    /// What ran beside it.
    pub(crate) fn add(&mut self, other: Self) {
        self.binaries.extend(other.binaries);
    }

    pub(crate) fn passed(&self) -> u64 {
        self.binaries.iter().map(|binary| binary.passed).sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.binaries.iter().map(|binary| binary.failed).sum()
    }

    /// The `most` slowest binaries with at least one test.
    pub(crate) fn table(&self, most: usize) -> String {
        let mut rows: Vec<_> = self.binaries.iter().filter(|b| b.passed + b.failed > 0).collect();
        rows.sort_by_key(|binary| std::cmp::Reverse(binary.spent));
        let mut table = format!("{:>9} {:>6} {:>6}  test binary\n", "seconds", "passed", "failed");
        for Binary { label, passed, failed, spent, .. } in rows.into_iter().take(most) {
            let seconds = spent.as_secs_f64();
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{seconds:>9.2} {passed:>6} {failed:>6}  {label}");
        }
        table
    }

    fn next(&mut self, label: String, now: Instant) {
        self.close(now);
        self.since = now;
        let spent = Duration::ZERO;
        self.binaries.push(Binary { label, passed: 0, failed: 0, spent, concluded: false });
    }

    fn close(&mut self, now: Instant) {
        if let Some(binary) = self.binaries.last_mut() {
            binary.spent = now.saturating_duration_since(self.since);
        }
    }

    /// Cargo names the source and the executable; many crates have a `tests/redis.rs`, so the package is put before.
    fn label(&self, running: &str) -> String {
        let (source, file) = running.rsplit_once(" (").unwrap_or((running, ""));
        let executable = file.trim_end_matches(')').rsplit('/').next().unwrap_or_default();
        match self.packages.get(executable) {
            Some(package) => format!("{package} {source}"),
            None => source.to_owned(),
        }
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(text: &str, word: &str) -> u64 {
    let words: Vec<_> = text.split([' ', ';', '.']).filter(|w| !w.is_empty()).collect();
    let found = words.windows(2).find(|pair| pair[1] == word);
    found.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// A test executable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its file name.
    pub(crate) file: String,
    pub(crate) package: String,
    /// Its name, if it is a file or folder of `tests/`.
    pub(crate) test: Option<String>,
}

/// A test executable, from a line of `cargo test --no-run --message-format=json`.
pub(crate) fn program(line: &str) -> Option<Program> {
    let file = field(line, "executable")?.rsplit('/').next()?.to_owned();
    // `path+file:///…/crates/backend#onceward-backend@0.1.0`, or `…/shop#0.1.0` where folder and package agree.
    let id = field(line, "package_id")?;
    let (path, fragment) = id.rsplit_once('#')?;
    let package = match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next()?,
    };
    let test = line.contains(r#""kind":["test"]"#).then(|| field(line, "name")).flatten();
    Some(Program { file, package: package.to_owned(), test: test.map(str::to_owned) })
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling x v0.1.0
     Running unittests src/lib.rs (target/debug/deps/onceward_x-0a1b)

running 3 tests
test a ... ok
Running this line is a test's own
test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

     Running tests/redis.rs (target/debug/deps/redis-77)
error: test failed, to rerun pass `--test redis`
   Doc-tests onceward_x
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    fn report(good: bool) -> Report {
        let redis = Program { file: "redis-77".to_owned(), package: "onceward-x".to_owned(), test: None };
        let mut report = Report::new(&[redis]);
        let begun = report.since;
        for (second, line) in (0..).zip(OUTPUT.lines()) {
            report.line(line, begun + Duration::from_secs(second));
        }
        report.finish(good, begun + Duration::from_secs(20));
        report
    }

    #[test]
    fn results_are_added_up_and_a_crash_is_a_failure() {
        let report = report(false);
        assert_eq!((report.passed(), report.failed()), (7, 2));
        let labels: Vec<_> = report.binaries.iter().map(|b| b.label.as_str()).collect();
        assert_eq!(
            labels,
            ["unittests src/lib.rs", "onceward-x tests/redis.rs (ended without a result)", "onceward-x doc tests"]
        );
    }

    #[test]
    fn a_binary_without_the_harness_does_not_fail_a_good_run() {
        assert_eq!(report(true).failed(), 1);
    }

    #[test]
    fn the_slowest_come_first() {
        let report = report(false);
        let spent: Vec<_> = report.binaries.iter().map(|b| b.spent.as_secs()).collect();
        assert_eq!(spent, [7, 2, 10]);
        let table = report.table(2);
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(rows.len(), 3);
        assert!(rows[1].ends_with("onceward-x doc tests"), "{table}");
    }

    #[test]
    fn executables_are_found_in_the_build_s_messages() {
        let of = |file: &str, package: &str, test: Option<&str>| {
            let (file, package) = (file.to_owned(), package.to_owned());
            Some(Program { file, package, test: test.map(str::to_owned) })
        };
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/crates/x#onceward-x@0.1.0","target":{"kind":["test"],"crate_types":["bin"],"name":"redis"},"executable":"/w/target/debug/deps/redis-77","fresh":true}"#;
        assert_eq!(program(line), of("redis-77", "onceward-x", Some("redis")));
        let line = r#"{"package_id":"path+file:///w/examples/shop#0.1.0","target":{"kind":["lib"],"name":"shop"},"executable":"/w/target/debug/deps/shop-1"}"#;
        assert_eq!(program(line), of("shop-1", "shop", None));
        assert_eq!(program(r#"{"package_id":"a#b@1","executable":null}"#), None);
    }
}
