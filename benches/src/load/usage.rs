//! Whose processor time it was: this program's, the servers', or others'. Linux only; elsewhere nothing is known.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Processor time, in clock ticks, up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    all: u64,
    busy: u64,
    ours: u64,
}

impl Usage {
    /// Up to now, where `servers` and what they started count as ours.
    pub fn now(servers: &[u32]) -> Option<Self> {
        let (all, busy) = machine(&fs::read_to_string("/proc/stat").ok()?)?;
        let mut processes = HashMap::new();
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // One that has ended meanwhile is counted at its parent.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            processes.extend(process(&stat).map(|process| (pid, process)));
        }
        let ours = family(&processes, servers) + processes.get(&std::process::id())?.own;
        Some(Self { all, busy, ours })
    }

    /// What this program and the servers used from `self` to `later`.
    pub fn ours(self, later: Self) -> Duration {
        TICK * u32::try_from(later.ours.saturating_sub(self.ours)).unwrap_or(u32::MAX)
    }

    /// The share of all processors that others used from `self` to `later`.
    #[allow(clippy::cast_precision_loss, reason = "ticks of one measurement")]
    pub fn others(self, later: Self) -> f64 {
        let busy = later.busy.saturating_sub(self.busy);
        let others = busy.saturating_sub(later.ours.saturating_sub(self.ours));
        others as f64 / later.all.saturating_sub(self.all).max(1) as f64
    }
}

/// The unit in which Linux tells processor time (`USER_HZ`), the same on every machine that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// The servers behind these ports: whoever listens there.
pub fn listeners(ports: &[u16]) -> Vec<u32> {
    let table = ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| fs::read_to_string(file).unwrap_or_default()).concat();
    let sockets: Vec<_> = ports.iter().flat_map(|port| inodes(&table, *port)).collect();
    let holds = |pid: &u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|link| sockets.iter().any(|inode| link.as_os_str() == format!("socket:[{inode}]").as_str()))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(holds).collect()
}

/// Inodes of the sockets that listen on `port`, from the kernel's table.
fn inodes(table: &str, port: u16) -> Vec<&str> {
    let of_port = format!(":{port:04X}");
    let rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&of_port) && row[3] == "0A").map(|row| row[9]).collect()
}

/// All time and busy time, from `/proc/stat`. Time that the hypervisor took counts as busy: it was somebody's.
fn machine(stat: &str) -> Option<(u64, u64)> {
    // user nice system idle iowait irq softirq steal
    let ticks: Vec<u64> = stat.lines().next()?.split_ascii_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    let all = ticks.iter().sum::<u64>();
    (ticks.len() == 8).then(|| (all, all - ticks[3] - ticks[4]))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    own: u64,
    /// Of children that have ended.
    ended: u64,
}

/// From `/proc/PID/stat`, whose second field may hold anything between its brackets.
fn process(stat: &str) -> Option<Process> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let parent = fields.get(1)?.parse().ok()?;
    Some(Process { parent, own: ticks(11)? + ticks(12)?, ended: ticks(13)? + ticks(14)? })
}

/// What these processes and those below them used.
fn family(processes: &HashMap<u32, Process>, heads: &[u32]) -> u64 {
    let belongs = |pid: &u32| {
        let mut at = *pid;
        // Bounded: a table read piece by piece may hold a circle.
        for _ in 0..16 {
            if heads.contains(&at) {
                return true;
            }
            let Some(process) = processes.get(&at) else { return false };
            at = process.parent;
        }
        false
    };
    processes.iter().filter(|(pid, _)| belongs(pid)).map(|(_, process)| process.own + process.ended).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_time_is_not_busy() {
        assert_eq!(machine("cpu  10 1 5 100 20 1 2 3 0 0\ncpu0 ..."), Some((142, 22)));
        assert_eq!(machine("intr 1 2"), None);
        assert_eq!(machine(""), None);
    }

    #[test]
    fn a_name_with_brackets_is_read_past() {
        let stat = "42 (a) b) (c) S 7 1 1 0 -1 4194560 1 2 3 4 100 50 20 5 20 0 1";
        assert_eq!(process(stat), Some(Process { parent: 7, own: 150, ended: 25 }));
        assert_eq!(process("42 (short) S 7"), None);
    }

    #[test]
    fn a_family_is_the_heads_and_all_below() {
        let one = |parent| Process { parent, own: 10, ended: 1 };
        let processes = HashMap::from([(1, one(0)), (5, one(1)), (6, one(5)), (7, one(6)), (8, one(1)), (9, one(9))]);
        assert_eq!(family(&processes, &[5]), 33);
        assert_eq!(family(&processes, &[5, 6]), 33, "nobody counts twice");
        assert_eq!(family(&processes, &[]), 0);
    }

    #[test]
    fn the_rest_is_others() {
        let before = Usage { all: 1000, busy: 100, ours: 50 };
        let after = Usage { all: 1400, busy: 400, ours: 250 };
        assert!((before.others(after) - 0.25).abs() < 1e-9);
        assert_eq!(before.ours(after), Duration::from_secs(2));
        // Ticks of several files do not belong to one moment.
        assert_eq!(before.others(Usage { ours: 500, ..after }), 0.0);
    }

    #[test]
    fn a_listener_is_told_from_a_connection() {
        let table = "\
   0: 0100007F:66BD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 0100007F:66BD 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0";
        assert_eq!(inodes(table, 0x66BD), ["4711"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_program_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listeners(&[port]), [std::process::id()]);
        let before = Usage::now(&[]).unwrap();
        assert!(before.others(Usage::now(&[]).unwrap()) <= 1.0);
    }
}
