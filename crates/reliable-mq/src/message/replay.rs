//! What a message says of its replay.

use std::time::Duration;

use super::Message;
use crate::ident;

/// The header in which a replayed message says how long whoever replayed it took inboxes to remember: microseconds, or
/// `may-duplicate` if that did not matter. Only replays out of an outbox have it.
pub const REPLAY_WINDOW: &str = "onceward-replay-window";

const MAY_DUPLICATE: &str = "may-duplicate";

/// On what assumption a message was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// It was younger than this, and whoever handled it before is taken to remember it for that long.
    Within(Duration),
    /// It may be handled twice: whoever replayed it has said so.
    MayDuplicate,
}

impl Replay {
    pub(crate) fn new(window: Option<Duration>) -> Self {
        window.map_or(Self::MayDuplicate, Self::Within)
    }

    /// The value of the header.
    pub(crate) fn header(self) -> String {
        match self {
            Self::Within(window) => ident::micros(window).to_string(),
            Self::MayDuplicate => MAY_DUPLICATE.to_owned(),
        }
    }
}

impl Message {
    /// On what assumption it was replayed, if it was; a value that cannot be read counts as the longest window. A consumer
    /// without an [`Inbox`](crate::Inbox) of this crate looks here whether it would still know the message.
    #[must_use]
    pub fn replay(&self) -> Option<Replay> {
        let value = self.header(REPLAY_WINDOW)?;
        let window = || value.parse().map_or(Duration::MAX, Duration::from_micros);
        Some(if value == MAY_DUPLICATE { Replay::MayDuplicate } else { Replay::Within(window()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assumption_survives_its_header_and_nonsense_promises_nothing() {
        let mut message = Message::to("t").text("").unwrap();
        assert_eq!(message.replay(), None);
        let mut read = |value: String| {
            message.headers.insert(REPLAY_WINDOW.to_owned(), value);
            message.replay().unwrap()
        };
        for replay in [Replay::Within(Duration::from_micros(1)), Replay::Within(Duration::ZERO), Replay::MayDuplicate] {
            assert_eq!(read(replay.header()), replay);
        }
        for nonsense in ["", "-1", "7d", "May-Duplicate", "99999999999999999999"] {
            assert_eq!(read(nonsense.to_owned()), Replay::Within(Duration::MAX), "{nonsense:?}");
        }
    }
}
