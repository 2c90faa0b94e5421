//! Runs a command and looks at its output while it passes by.

use crate::Result;
use std::io::{BufRead, BufReader, IsTerminal, Write, pipe, stdout};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long output is awaited after the command's end: a process that it left behind may hold the pipe for ever.
const GRACE: Duration = Duration::from_secs(2);

/// Copies both outputs of the command to `out` in the order in which they were written, and shows each line, without colours.
pub(crate) fn lines(command: &mut Command, out: &mut impl Write, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let told = |e| format!("{name}: {e}");
    let (reader, writer) = pipe().map_err(told)?;
    let also = writer.try_clone().map_err(told)?;
    if stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let spawned = command.stdin(Stdio::null()).stdout(writer).stderr(also).spawn();
    // The command holds the writing ends; the pipe ends when they are closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = spawned.map_err(told)?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                let written = out.write_all(&line).and_then(|()| out.write_all(b"\n"));
                written.and_then(|()| out.flush()).map_err(|e| format!("output: {e}"))?;
                each(&plain(&String::from_utf8_lossy(&line)));
                if let Some((_, at)) = &mut ended {
                    *at = Instant::now();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return child.wait().map_err(told),
            Err(RecvTimeoutError::Timeout) => {
                if ended.is_none() {
                    ended = child.try_wait().map_err(told)?.map(|status| (status, Instant::now()));
                }
                if let Some((status, at)) = ended
                    && at.elapsed() > GRACE
                {
                    let note = "note: a process that outlives its test still holds the output";
                    return writeln!(out, "{note}").map(|()| status).map_err(|e| format!("output: {e}"));
                }
            }
        }
    }
}

/// The line without terminal sequences.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // `ESC [ … letter`
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if c != '\r' {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(script: &str) -> (Vec<String>, bool) {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        let status = lines(command.args(["-c", script]), &mut std::io::sink(), |line| {
            seen.push(line.to_owned());
        });
        (seen, status.unwrap().success())
    }

    #[test]
    fn both_outputs_come_in_order_and_without_colours() {
        let (lines, good) = seen("echo a; printf '\\033[1mb\\033[0m\\n' >&2; echo c; exit 3");
        assert_eq!(lines, ["a", "b", "c"]);
        assert!(!good);
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_run_up() {
        let begun = Instant::now();
        let (lines, good) = seen("sleep 60 & echo $!");
        assert!(good);
        assert!(begun.elapsed() < Duration::from_secs(30));
        Command::new("kill").arg(&lines[0]).status().unwrap();
    }
}
