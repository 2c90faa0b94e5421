//! Fail points that the parent arms by a file: the first service that comes by takes the file and stays there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use onceward_backend::internal::set_mark_hook;

/// The fail points of a transfer, in the order of its life.
pub const POINTS: [&str; 13] = [
    "dtx.begun",
    "dtx.before_undo",
    "dtx.before_register",
    "dtx.registered",
    "dtx.branch_committed",
    "dtx.before_decision",
    "dtx.decided",
    "dtx.rolling_back",
    "dtx.phase_two",
    "dtx.before_forget",
    "dtx.taken_back",
    "dtx.guarded",
    "dtx.before_settle",
];
/// Those of a branch whose registration was not answered.
pub const REPORTS: [&str; 2] = ["dtx.before_report", "dtx.reported"];

static OWN: OnceLock<Marks> = OnceLock::new();

/// The fail points of one service, as both sides see them.
pub struct Marks {
    folder: PathBuf,
    held: PathBuf,
}

impl Marks {
    pub fn of(folder: &Path, number: u64) -> Self {
        Self { folder: folder.to_owned(), held: folder.join(format!("held-{number}")) }
    }

    /// From now on this process stops at armed points.
    pub fn listen(self) {
        drop(OWN.set(self));
        set_mark_hook(|name| OWN.get().unwrap().reached(name));
    }

    fn reached(&self, name: &'static str) {
        // Of several services, and of several threads of this one, the file is moved by one.
        if self.is_held() || fs::rename(armed(&self.folder, name), &self.held).is_err() {
            return;
        }
        println!("mark {name}");
        std::io::stdout().flush().unwrap();
        // The rest of the service goes on.
        tokio::task::block_in_place(|| {
            while self.is_held() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }

    /// Whether the service stands at a point.
    pub fn is_held(&self) -> bool {
        self.held.exists()
    }

    /// Lets it go on.
    pub fn release(&self) {
        fs::remove_file(&self.held).unwrap();
    }
}

fn armed(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("armed-{name}"))
}

pub fn arm(folder: &Path, name: &str) {
    fs::write(armed(folder, name), "").unwrap();
}
