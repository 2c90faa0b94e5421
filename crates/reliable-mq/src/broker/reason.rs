//! Why a message was given up, kept beside it.

/// Longest reason that is kept, in characters.
const LONGEST: usize = 2000;

pub(super) fn shortened(reason: &str) -> String {
    reason.chars().take(LONGEST).collect()
}
