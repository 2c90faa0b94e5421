//! Misbehaving on purpose, for tests of clients.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::Server;

/// Where a [`Fault`] can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/oauth2.0/token`
    Token,
    /// `/oauth2.0/me`
    Me,
    /// `/user/get_user_info`
    UserInfo,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The answer comes this much later.
    Delay(Duration),
    /// The request is not processed and never answered.
    StallBefore,
    /// The request is processed and never answered.
    Stall,
    /// The request is not processed and answered with this status.
    Status(u16),
    /// The request is processed, and the connection breaks instead of the answer.
    Drop,
    /// Answered with bytes that are no text.
    Garbage,
    /// Answered with an HTML page.
    Html,
    /// Only the first half of the answer comes, as if it were all.
    Truncated,
    /// A comma stands before the last brace.
    TrailingComma,
    /// This many spaces come before the answer.
    Oversize(usize),
    /// A byte of the answer comes each time this has passed.
    Drip(Duration),
    /// The request is not processed; the caller is sent to this URL with a 302.
    Redirect(String),
}

/// The switches of a [`Server`]; all are off at its start.
#[derive(Debug, Default)]
pub struct Faults {
    set: Mutex<Vec<(Endpoint, Fault, Times)>>,
    swap_state: AtomicBool,
    foreign_client: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
enum Times {
    Always,
    Left(u32),
}

impl Faults {
    /// Makes every request at `endpoint` go wrong until [`Faults::clear`].
    pub fn set(&self, endpoint: Endpoint, fault: Fault) {
        self.put(endpoint, fault, Times::Always);
    }

    /// Makes the next `times` requests at `endpoint` go wrong.
    pub fn next(&self, endpoint: Endpoint, fault: Fault, times: u32) {
        self.put(endpoint, fault, Times::Left(times));
    }

    /// Switches everything off.
    pub fn clear(&self) {
        self.list().clear();
        self.swap_state(false);
        self.foreign_client(false);
    }

    /// Sends browsers back with another state than the client's.
    pub fn swap_state(&self, on: bool) {
        self.swap_state.store(on, Ordering::SeqCst);
    }

    /// Makes `/oauth2.0/me` name another client than the token's.
    pub fn foreign_client(&self, on: bool) {
        self.foreign_client.store(on, Ordering::SeqCst);
    }

    pub(crate) fn swaps_state(&self) -> bool {
        self.swap_state.load(Ordering::SeqCst)
    }

    pub(crate) fn names_foreign_client(&self) -> bool {
        self.foreign_client.load(Ordering::SeqCst)
    }

    fn put(&self, endpoint: Endpoint, fault: Fault, times: Times) {
        let mut list = self.list();
        list.retain(|(at, ..)| *at != endpoint);
        list.push((endpoint, fault, times));
    }

    /// The fault of this request.
    fn take(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut list = self.list();
        let (_, fault, times) = list.iter_mut().find(|(at, _, times)| *at == endpoint && *times != Times::Left(0))?;
        if let Times::Left(left) = times {
            *left -= 1;
        }
        Some(fault.clone())
    }

    fn list(&self) -> MutexGuard<'_, Vec<(Endpoint, Fault, Times)>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands in front of the three endpoints.
pub(crate) async fn apply(
    State((server, endpoint)): State<(Server, Endpoint)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(fault) = server.faults().take(endpoint) else { return next.run(request).await };
    match fault {
        Fault::StallBefore => std::future::pending().await,
        Fault::Status(status) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Fault::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        fault => spoil(next.run(request).await, fault).await,
    }
}

async fn spoil(response: Response, fault: Fault) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = match fault {
        Fault::Stall => std::future::pending().await,
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            Body::from(body)
        }
        Fault::Drop => Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::other("dropped on purpose"))])),
        Fault::Garbage => Body::from(vec![0xff, 0x00, 0xfe, b'{', 0x80]),
        Fault::Html => Body::from("<!doctype html><title>502</title><p>Something stands in between."),
        Fault::Truncated => Body::from(body.slice(..body.len() / 2)),
        Fault::TrailingComma => {
            let mut text = body.to_vec();
            if let Some(at) = text.iter().rposition(|byte| *byte == b'}') {
                text.insert(at, b',');
            }
            Body::from(text)
        }
        Fault::Oversize(spaces) => Body::from([vec![b' '; spaces], body.to_vec()].concat()),
        Fault::Drip(pause) => Body::from_stream(stream::unfold(body, move |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            tokio::time::sleep(pause).await;
            let byte = rest.split_to(1);
            Some((Ok::<_, io::Error>(byte), rest))
        })),
        // Answered before the request was processed.
        Fault::StallBefore | Fault::Status(_) | Fault::Redirect(_) => Body::from(body),
    };
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_often_as_it_was_set_for() {
        let faults = Faults::default();
        faults.next(Endpoint::Token, Fault::Html, 2);
        assert_eq!(faults.take(Endpoint::Me), None);
        assert_eq!(faults.take(Endpoint::Token), Some(Fault::Html));
        assert_eq!(faults.take(Endpoint::Token), Some(Fault::Html));
        assert_eq!(faults.take(Endpoint::Token), None);
        faults.set(Endpoint::Token, Fault::Garbage);
        assert_eq!(faults.take(Endpoint::Token), Some(Fault::Garbage));
        assert_eq!(faults.take(Endpoint::Token), Some(Fault::Garbage));
        faults.clear();
        assert_eq!(faults.take(Endpoint::Token), None);
    }
}
