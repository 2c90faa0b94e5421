//! What can go wrong, in the words of who called.

use std::fmt;

use onceward_backend::{BackendError, ErrorClass};

use crate::types::{LineKey, MemberId};

/// Why a cart was not read or changed. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that no cart accepts; the text says which and why.
    #[error("{0}")]
    Invalid(&'static str),
    /// The command names a line that the cart does not hold.
    #[error("no such line in the cart")]
    UnknownLine {
        /// The line.
        key: LineKey,
    },
    /// The change would exceed a limit whose policy is to reject.
    #[error("{0}")]
    Limit(Exceeded),
    /// The cart is not at the expected version.
    #[error("the cart is at version {current}, not at the expected one")]
    Conflict {
        /// The version it is at.
        current: u32,
    },
    /// The operation is not remembered and is too old to tell whether it was applied: read the cart again.
    #[error("the operation is older than what the cart remembers, which is at version {current}")]
    StaleOp {
        /// The version the cart is at.
        current: u32,
    },
    /// The guest cart was merged into a member's, or is about to be. `into` is for code only: act on it only when the
    /// session is that member's, since a stolen guest cookie must not name a member.
    #[error("the guest cart was merged into a member's cart")]
    Sealed {
        /// Into whose cart.
        into: MemberId,
    },
    /// The change may or may not have been applied, and the cart no longer remembers: read it.
    #[error("it is not known whether the change was applied")]
    OutcomeUnknown,
    /// Others kept changing the cart for as long as the store was willing to try.
    #[error("the cart is changed by too many others at once")]
    Contended,
    /// The store cannot do this; see its [`Capabilities`](crate::Capabilities).
    #[error("the store does not support {0}")]
    Unsupported(&'static str),
    /// The backend failed; its class says what that means.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Error {
    /// True if nothing happened and the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::Backend(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// True if the change may have been applied.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::OutcomeUnknown => true,
            Self::Backend(error) => error.class() == ErrorClass::Unknown,
            _ => false,
        }
    }
}

/// Which limit was exceeded, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exceeded {
    /// What is limited.
    pub kind: LimitKind,
    /// The most there may be.
    pub limit: u64,
    /// What there would have been.
    pub got: u64,
}

impl Exceeded {
    /// `got` of `kind` where only `limit` are allowed.
    pub const fn new(kind: LimitKind, limit: u64, got: u64) -> Self {
        Self { kind, limit, got }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            LimitKind::Quantity => "pieces of one line",
            LimitKind::Lines => "lines of a cart",
            LimitKind::Batch => "commands of a batch",
        };
        write!(f, "at most {} {what}, not {}", self.limit, self.got)
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitKind {
    /// The quantity of one line.
    Quantity,
    /// The lines of one cart.
    Lines,
    /// The commands of one batch.
    Batch,
}
