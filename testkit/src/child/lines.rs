//! What a child has written, line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lines of both streams in the order in which they were read. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<(bool, String)>,
    offered: usize,
    readers: usize,
}

impl Lines {
    /// Reads `stream` to its end on a thread of its own.
    pub(super) fn read(&self, stream: impl Read + Send + 'static, error: bool) {
        self.state().readers += 1;
        let lines = self.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            // Not `lines()`: a line that is not UTF-8 must not end the reading.
            while stream.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
                lines.state().lines.push((error, text));
                bytes.clear();
            }
            lines.state().readers -= 1;
        });
    }

    /// The next line that was not offered yet.
    pub(super) fn next(&self) -> Option<String> {
        let mut state = self.state();
        let line = state.lines.get(state.offered)?.1.clone();
        state.offered += 1;
        Some(line)
    }

    /// Whether both streams are at their end.
    pub(super) fn closed(&self) -> bool {
        self.state().readers == 0
    }

    pub(super) fn of(&self, error: bool) -> Vec<String> {
        self.state().lines.iter().filter(|(of, _)| *of == error).map(|(_, line)| line.clone()).collect()
    }

    /// The last `count` lines, for a message.
    pub(super) fn last(&self, count: usize) -> String {
        let state = self.state();
        let from = state.lines.len().saturating_sub(count);
        let show = |(error, line): &(bool, String)| format!("  {} {line}\n", if *error { "err" } else { "out" });
        state.lines[from..].iter().map(show).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
