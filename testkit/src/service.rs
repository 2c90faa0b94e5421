//! A running service that a test takes away for a while.

#![allow(clippy::disallowed_methods, reason = "testkit is where tests read the environment")]

use std::process::Command;

use tokio::sync::{Mutex, MutexGuard};

/// One of the services that `cargo xtask test` started; runs again, on the same port and with the same data, when this
/// guard is dropped.
///
/// Everything that uses the service feels it, so such tests belong into a test program of their own, which its manifest
/// lists as `apart`: `cargo xtask test` gives those services that no other program uses, and runs them one after the other.
/// Inside the program they are serial by themselves, as there is one guard at a time.
///
/// ```no_run
/// # async fn example() {
/// use testkit::Service;
/// let mut redis = Service::named("redis").await;
/// redis.kill().await; // as in a crash
/// // .. what does the program under test answer now?
/// redis.start().await; // returns when it serves again
/// # }
/// ```
#[derive(Debug)]
pub struct Service {
    name: String,
    halted: bool,
    alarmed: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Service {
    /// The service that `cargo xtask up` calls `name`: `redis`, `postgres`, `mariadb`, `rabbitmq`, `nats`. Waits until
    /// no other test of this program has a guard.
    pub async fn named(name: &str) -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        Self { name: name.to_owned(), halted: false, alarmed: false, _turn: TURN.lock().await }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If `cargo xtask` did not start it: what somebody else runs is not ours to stop.
    pub async fn stop(&mut self) {
        self.halt(&["halt"]).await;
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    ///
    /// # Panics
    /// Like [`Service::stop`].
    pub async fn kill(&mut self) {
        self.halt(&["halt", "--kill"]).await;
    }

    /// Starts it again, and waits until it is ready to serve.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(&mut self) {
        self.call(&["up"]).await;
        (self.halted, self.alarmed) = (false, false);
    }

    /// Makes a RabbitMQ hold back all who publish, as when its memory is full, until [`Service::clear`] or its next start.
    ///
    /// # Panics
    /// Like [`Service::stop`].
    pub async fn alarm(&mut self) {
        self.alarmed = true;
        self.call(&["alarm"]).await;
    }

    /// Ends the alarm.
    ///
    /// # Panics
    /// Like [`Service::stop`].
    pub async fn clear(&mut self) {
        self.call(&CLEAR).await;
        self.alarmed = false;
    }

    async fn halt(&mut self, words: &[&'static str]) {
        // Before the call: a half-done one is to be mended too.
        self.halted = true;
        self.call(words).await;
    }

    async fn call(&self, words: &[&'static str]) {
        let (words, name) = (words.to_vec(), self.name.clone());
        let answer = tokio::task::spawn_blocking(move || xtask(&words, &name)).await.expect("it does not panic");
        if let Err(message) = answer {
            panic!("{message}");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A start ends an alarm too.
        let words: &[&str] = match (self.halted, self.alarmed) {
            (true, _) => &["up"],
            (false, true) => &CLEAR,
            (false, false) => return,
        };
        match xtask(words, &self.name) {
            Ok(()) => {}
            Err(message) if std::thread::panicking() => eprintln!("{message}"),
            Err(message) => panic!("{message}"),
        }
    }
}

const CLEAR: [&str; 2] = ["alarm", "--clear"];

/// Runs a verb of the tool that runs this test.
fn xtask(words: &[&str], name: &str) -> Result<(), String> {
    let Ok(tool) = std::env::var("ONCEWARD_XTASK") else {
        return Err(format!(
            "this test stops and starts {name}, which only `cargo xtask test` lets it do, and only in a program that its \
             manifest lists as `apart`"
        ));
    };
    let output = Command::new(&tool).args(words).arg(name).output().map_err(|error| format!("{tool}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cargo xtask {} {name}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
