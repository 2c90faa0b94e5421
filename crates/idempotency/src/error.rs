//! What can go wrong, in the caller's words.

use onceward_backend::{BackendError, ErrorClass};

/// A call that could not be answered. "Already done", "expired" or "not yours" are answers, not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that the stores cannot keep apart from others byte by byte.
    #[error("{what} cannot be part of a key: {why}")]
    InvalidKey {
        /// Which name.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that makes no sense.
    #[error("invalid setting: {0}")]
    Config(&'static str),
    /// The claim is not held any more: its lease ended and another attempt took it over, it was settled from outside, or
    /// the store lost its record.
    #[error("the claim is not held any more")]
    LeaseLost,
    /// A result above [`MAX_RESULT`](crate::MAX_RESULT); store a reference to it instead.
    #[error("a result of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The store does not have this operation; see its [`Capabilities`](crate::Capabilities).
    #[error("this store cannot {0}")]
    Unsupported(&'static str),
    /// The store failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Error {
    /// True if nothing happened and the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_retryable())
    }

    /// True if the call may or may not have taken effect: it was sent, then the connection broke.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Backend(error) if matches!(error.class(), ErrorClass::Unknown))
    }
}
