use std::{fmt::Debug, time::SystemTime};

/// The wall clock against which the expiry of tokens is judged.
///
/// Leases and the life of pending logins do not use it: they are on the store's clock.
pub trait Clock: Debug + Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> SystemTime;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
