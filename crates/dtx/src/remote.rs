//! A global transaction that another service has begun, as it tells it.

use std::time::Duration;

use crate::context::{self, Global};

/// The most characters of an xid, as in the key of every `undo_log`.
const LONGEST_XID: usize = 128;
/// The longest that a transaction is said to remain.
const LONGEST_REMAINING: Duration = Duration::from_secs(24 * 60 * 60);

/// The name of a global transaction of another service, to [join](crate::Dtx::join).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    xid: String,
    remaining: Option<Duration>,
}

/// Why what another service said does not name a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The xid is empty, longer than 128 characters, or not visible ASCII.
    #[error("the xid is not 1 to 128 characters of visible ASCII")]
    Xid,
    /// It is named twice, and not the same.
    #[error("two different transactions or deadlines are named")]
    Ambiguous,
    /// The time that remains is not a whole number of milliseconds of at most a day.
    #[error("the remaining time is not a whole number of milliseconds of at most a day")]
    Remaining,
}

impl Remote {
    /// The transaction of that xid, with the time after which it is rolled back if it is not decided. Without it,
    /// branches wait for their locks as if it were 60 s.
    ///
    /// # Errors
    /// [`RemoteError::Xid`] if it is not 1 to 128 characters of visible ASCII, [`RemoteError::Remaining`] if the time
    /// is longer than a day.
    pub fn new(xid: impl Into<String>, remaining: Option<Duration>) -> Result<Self, RemoteError> {
        let xid = xid.into();
        if xid.is_empty() || xid.len() > LONGEST_XID || !xid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RemoteError::Xid);
        }
        if remaining.is_some_and(|remaining| remaining > LONGEST_REMAINING) {
            return Err(RemoteError::Remaining);
        }
        Ok(Self { xid, remaining })
    }

    /// The current transaction of this task, to be named to another service.
    ///
    /// # Errors
    /// [`RemoteError::Xid`] if its coordinator made an xid that cannot be named.
    pub fn current() -> Result<Option<Self>, RemoteError> {
        context::current().as_ref().map(Self::of).transpose()
    }

    fn of(global: &Global) -> Result<Self, RemoteError> {
        Self::new(global.xid(), Some(global.remaining().min(LONGEST_REMAINING)))
    }

    /// The id of the transaction.
    pub fn xid(&self) -> &str {
        &self.xid
    }

    /// How long it may still stay undecided, if that is known.
    pub const fn remaining(&self) -> Option<Duration> {
        self.remaining
    }

    pub(crate) fn into_xid(self) -> String {
        self.xid
    }
}
