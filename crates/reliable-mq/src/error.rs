//! What can go wrong, in the caller's words.

use std::error::Error as StdError;

use onceward_backend::BackendError;

use crate::message::MessageError;

/// A boxed cause.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call of this crate did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message breaks a limit of this crate.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The broker forgets what it accepted when its process ends; a relay would delete the only lasting copy.
    #[error(
        "the broker is volatile: what it accepts does not survive its process (see `RelayOptions::with_allow_volatile`)"
    )]
    Volatile,
    /// No queue of the broker takes this topic.
    #[error("no queue takes the topic {0}")]
    UnknownTopic(String),
    /// No queue of this name was declared at the broker.
    #[error("no queue is named {0}")]
    UnknownQueue(String),
    /// A router has two handlers for this topic.
    #[error("two handlers take the topic {0}")]
    TwoHandlers(String),
    /// Somebody else holds what this caller had leased: a lane, or a delivery.
    #[error("the lease is lost")]
    LeaseLost,
    /// The message is older than the inboxes remember, so a repeat could be handled twice.
    #[error("the message is older than inboxes remember; repeating it may handle it twice")]
    MayDuplicate,
    /// A handler or closure kept its transaction instead of letting it go when it returned.
    #[error("the transaction was kept by the handler")]
    TransactionKept,
    /// This store or broker does not offer the call.
    #[error("{0} is not supported here")]
    Unsupported(&'static str),
    /// A broker of a third party reports a failure.
    #[error("broker: {0}")]
    Broker(#[source] BoxError),
    /// The database reports a failure.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Error {
    /// Whether the same call may be repeated as it is: nothing has happened.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_retryable())
    }
}

/// A broker's failure, told in words.
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq", feature = "redis"))]
pub(crate) fn broker(what: impl Into<BoxError>) -> Error {
    Error::Broker(what.into())
}
