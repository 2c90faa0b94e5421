//! Calls of reqwest that carry the current global transaction.

use reqwest::RequestBuilder;

use crate::remote::RemoteError;

/// Adds the current global transaction to a call.
pub trait WithTransaction: Sized {
    /// Names the current global transaction in the headers, in place of what they named; outside of one nothing is added.
    ///
    /// Take an answer that does not say that the part was done, and none at all, for a failure: the other service may have
    /// had the whole rolled back.
    ///
    /// # Errors
    /// As [`inject`](super::inject).
    fn with_transaction(self) -> Result<Self, RemoteError>;
}

impl WithTransaction for RequestBuilder {
    fn with_transaction(self) -> Result<Self, RemoteError> {
        Ok(self.headers(super::headers()?))
    }
}
