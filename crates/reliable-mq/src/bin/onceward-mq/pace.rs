//! Long work: no faster than was said, and with a word now and then about how far it is.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// So many a second.
pub(crate) type Rate = NonZeroU32;

/// Reads `50/s`, or `50`.
pub(crate) fn parse(text: &str) -> Result<Rate, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().map_err(|_| "write a rate as 50/s".to_owned())
}

pub(crate) struct Pace {
    what: &'static str,
    of: Option<usize>,
    interval: Option<Interval>,
    said: Instant,
}

impl Pace {
    /// `what` is done to so many, if that is known.
    pub(crate) fn new(what: &'static str, of: Option<usize>, rate: Option<Rate>) -> Self {
        let interval = rate.map(|rate| {
            // An interval of nothing is none.
            let mut interval = interval((Duration::from_secs(1) / rate.get()).max(Duration::from_nanos(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self { what, of, interval, said: Instant::now() }
    }

    /// Waits until the next may be done, and says how many were.
    pub(crate) async fn next(&mut self, done: u64) {
        if let Some(interval) = &mut self.interval {
            interval.tick().await;
        }
        if self.said.elapsed() >= Duration::from_secs(1) {
            self.said = Instant::now();
            let of = self.of.map_or_else(String::new, |of| format!(" of {of}"));
            let _ = writeln!(io::stderr(), "onceward-mq: {done}{of} {}", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!((parse("50/s"), parse("7")), (Ok(Rate::new(50).unwrap()), Ok(Rate::new(7).unwrap())));
        for text in ["", "/s", "0/s", "1/m", "-1/s", "1.5/s", "1 /s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
