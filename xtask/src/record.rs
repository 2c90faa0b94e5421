//! What is known about a service that this tool started: a small text file in its folder.

use crate::process::Process;
use crate::{Result, services::Service};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a server may take to end when it is asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// One service as it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) port: u16,
    pub(crate) durable: bool,
    pub(crate) server: Option<Process>,
    /// What the server needs beside it.
    pub(crate) helpers: Vec<Process>,
}

impl Record {
    /// The record in a service's folder; `None` if there is none, it cannot be read as one, or the machine booted since.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("record")).ok()?;
        Self::parse(&text, &boot_id())
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        // Renamed into place, so that a record is whole or absent.
        let (part, file) = (folder.join("record.part"), folder.join("record"));
        fs::write(&part, self.text(&boot_id()))
            .and_then(|()| fs::rename(&part, &file))
            .map_err(|e| format!("{}: {e}", file.display()))
    }

    pub(crate) fn forget(folder: &Path) {
        // Absent is what is wanted.
        let _ = fs::remove_file(folder.join("record"));
    }

    /// The server's process, if it runs.
    pub(crate) fn running(&self) -> Option<Process> {
        self.server.filter(|process| process.alive())
    }

    /// Stops the server, then its helpers, and removes the record.
    pub(crate) fn stop(&self, service: &Service, folder: &Path) -> Result<()> {
        self.halt(service.signal)?;
        for helper in &self.helpers {
            helper.stop("TERM", PATIENCE)?;
        }
        Self::forget(folder);
        Ok(())
    }

    /// Stops the server only, with this signal.
    pub(crate) fn halt(&self, signal: &str) -> Result<()> {
        self.server.map_or(Ok(()), |server| server.stop(signal, PATIENCE))
    }

    fn text(&self, boot: &str) -> String {
        let mode = if self.durable { "durable" } else { "fast" };
        let mut text = format!("boot {boot}\nport {}\nmode {mode}\n", self.port);
        let server = self.server.iter().map(|process| ("server", process));
        for (role, Process { pid, started }) in server.chain(self.helpers.iter().map(|process| ("helper", process))) {
            text.push_str(&format!("{role} {pid} {started}\n"));
        }
        text
    }

    fn parse(text: &str, boot: &str) -> Option<Self> {
        let mut record = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["boot", recorded] if recorded != boot => return None,
                ["boot", _] => {}
                ["port", port] => record.port = port.parse().ok()?,
                ["mode", mode] => record.durable = mode == "durable",
                [role @ ("server" | "helper"), pid, started] => {
                    let (pid, started) = (pid.parse().ok()?, started.parse().ok()?);
                    match role {
                        "server" => record.server = Some(Process { pid, started }),
                        _ => record.helpers.push(Process { pid, started }),
                    }
                }
                _ => return None,
            }
        }
        Some(record)
    }
}

/// Differs after every boot: start times count from there.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let (server, helper) = (Process { pid: 7, started: 99 }, Process { pid: 8, started: 100 });
        Record { port: 26301, durable: true, server: Some(server), helpers: vec![helper] }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Record::parse(&record().text("b"), "b"), Some(record()));
    }

    #[test]
    fn a_record_of_an_earlier_boot_or_a_torn_one_is_none() {
        assert_eq!(Record::parse(&record().text("b"), "later"), None);
        assert_eq!(Record::parse("port 26301\nproc", "b"), None);
        assert_eq!(Record::parse("12345\n", "b"), None);
    }
}
