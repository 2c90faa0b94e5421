//! Fail points that a parent arms by a file: the first child that comes by takes the file and stays there.

#![allow(clippy::disallowed_methods, reason = "to stand still is what a fail point is for")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

static OWN: OnceLock<Marks> = OnceLock::new();

/// The fail points of one of several children that share a folder, as both sides see them.
///
/// The parent [arms](Marks::arm) a point. The first child that reaches it prints `mark NAME` and stands there, on one thread
/// while the others go on, until the parent kills or [releases](Marks::release) it.
#[derive(Debug)]
pub struct Marks {
    folder: PathBuf,
    held: PathBuf,
}

impl Marks {
    /// Those of the child with this number.
    #[must_use]
    pub fn of(folder: &Path, number: u64) -> Self {
        Self { folder: folder.to_owned(), held: folder.join(format!("held-{number}")) }
    }

    /// The first child that comes by this point is to stand there.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn arm(folder: &Path, point: &str) {
        fs::write(armed(folder, point), "").expect("the folder of the marks can be written");
    }

    /// From now on this process stops at armed points; `set_hook` is what makes the program call a function there. It needs
    /// a multi-thread runtime.
    pub fn listen(self, set_hook: fn(fn(&'static str))) {
        if OWN.set(self).is_ok() {
            set_hook(|point| OWN.get().into_iter().for_each(|own| own.reached(point)));
        }
    }

    fn reached(&self, point: &'static str) {
        // Of several children, and of several threads of this one, the file is moved by one.
        if self.is_held() || fs::rename(armed(&self.folder, point), &self.held).is_err() {
            return;
        }
        println!("mark {point}");
        std::io::stdout().flush().expect("the parent reads");
        // The rest of the process goes on.
        tokio::task::block_in_place(|| {
            while self.is_held() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }

    /// Whether the child stands at a point.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.exists()
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not stand anywhere.
    pub fn release(&self) {
        fs::remove_file(&self.held).expect("it stands at a point");
    }
}

fn armed(folder: &Path, point: &str) -> PathBuf {
    folder.join(format!("armed-{point}"))
}
