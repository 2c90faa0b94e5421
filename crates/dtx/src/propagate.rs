//! The current global transaction as headers of a call to another service.
//!
//! The xid stands in `TX_XID`, as Seata's own clients write it, and again in `tx-xid`, since proxies drop names with an
//! underscore; the milliseconds that remain until the deadline in `tx-timeout-ms`. Clocks are not compared.
//!
//! The same map is the metadata of gRPC (`MetadataMap::into_headers` and `from_headers` of tonic), so an interceptor
//! there is [`inject`] on one side and [`extract`] on the other.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::remote::{Remote, RemoteError};

#[cfg(feature = "reqwest")]
mod client;

#[cfg(feature = "reqwest")]
pub use client::WithTransaction;

/// The names under which the xid travels; a header's name has no case.
pub const XID: [&str; 2] = ["tx_xid", "tx-xid"];
/// The name under which the remaining milliseconds travel.
pub const TIMEOUT: &str = "tx-timeout-ms";

/// Names the current global transaction in the headers of a call. Outside of one they name none afterwards, so that
/// what came in with a request does not go out with another by accident.
///
/// # Errors
/// [`RemoteError::Xid`] if the coordinator made an xid that cannot be named. Headers name no transaction then; do not
/// send the call, whose work would not be part of the whole.
pub fn inject(headers: &mut HeaderMap) -> Result<(), RemoteError> {
    for name in XID.into_iter().chain([TIMEOUT]) {
        headers.remove(name);
    }
    let Some(remote) = Remote::current()? else { return Ok(()) };
    let xid = HeaderValue::from_str(remote.xid()).map_err(|_| RemoteError::Xid)?;
    for name in XID {
        headers.insert(name, xid.clone());
    }
    if let Some(remaining) = remote.remaining() {
        headers.insert(TIMEOUT, u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX).into());
    }
    Ok(())
}

/// The headers that name the current global transaction; none outside of one.
///
/// # Errors
/// As [`inject`].
pub fn headers() -> Result<HeaderMap, RemoteError> {
    let mut headers = HeaderMap::new();
    inject(&mut headers)?;
    Ok(headers)
}

/// The global transaction that headers name. Ask only headers of a service that you trust: whoever can name a
/// transaction can hold it, fail it, and change rows under its locks.
///
/// # Errors
/// [`RemoteError`] if the xid or the time is not what [`Remote::new`] takes, or if there are several that are not the
/// same.
pub fn extract(headers: &HeaderMap) -> Result<Option<Remote>, RemoteError> {
    let Some(xid) = only(XID.into_iter().flat_map(|name| headers.get_all(name)))? else { return Ok(None) };
    let xid = xid.to_str().map_err(|_| RemoteError::Xid)?;
    let remaining = only(headers.get_all(TIMEOUT))?.map(millis).transpose()?;
    Remote::new(xid, remaining).map(Some)
}

/// The one value, however often it is there.
fn only<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Result<Option<&'a HeaderValue>, RemoteError> {
    let mut values = values.into_iter();
    let first = values.next();
    if values.any(|other| Some(other) != first) {
        return Err(RemoteError::Ambiguous);
    }
    Ok(first)
}

fn millis(value: &HeaderValue) -> Result<Duration, RemoteError> {
    let text = value.to_str().map_err(|_| RemoteError::Remaining)?;
    // `parse` by itself takes a sign too.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RemoteError::Remaining);
    }
    text.parse().map(Duration::from_millis).map_err(|_| RemoteError::Remaining)
}

#[cfg(test)]
mod tests;
