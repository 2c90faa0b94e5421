//! Everything that goes wrong, as one answer: problem+json for programs, a page that says what to do for people.

use std::fmt::Display;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use onceward_backend::{BackendError, ErrorClass};
use onceward_dtx::DtxError;

use crate::stores::StoresError;

/// What a visitor is told while a store cannot be asked.
pub const STORE_SILENT: &str = "One of the shop's stores does not answer right now.";

/// A refused or failed request ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). A handler answers it bare; the
/// visit's layer renders it for who asked (see [`crate::visit`]).
#[derive(Clone, Debug)]
pub struct Problem {
    /// The status code.
    pub status: StatusCode,
    /// What happened, for the one who asked.
    pub detail: String,
    /// Seconds after which asking again makes sense.
    pub retry_after: Option<u32>,
    /// Where people are sent instead of a page.
    pub instead: Option<&'static str>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None, instead: None }
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 401; people are sent to the login page.
    pub fn sign_in() -> Self {
        Self { instead: Some("/login"), ..Self::new(StatusCode::UNAUTHORIZED, "Sign in first.") }
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 409.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 503 with a time to come back.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// 500. The cause goes to the log, not to the one who asked.
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke on our side.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        match error.class() {
            ErrorClass::Transient | ErrorClass::Unavailable | ErrorClass::Unknown => {
                tracing::warn!(error = chain(&error), "a store did not answer");
                Self::busy(STORE_SILENT)
            }
            _ => Self::internal(chain(&error)),
        }
    }
}

impl From<DtxError> for Problem {
    fn from(error: DtxError) -> Self {
        match error {
            DtxError::Backend(error) => error.into(),
            error if error.is_retryable() => Self::busy("Others are busy with the same things right now."),
            error => Self::internal(chain(&error)),
        }
    }
}

impl From<onceward_idempotency::Error> for Problem {
    fn from(error: onceward_idempotency::Error) -> Self {
        match error {
            onceward_idempotency::Error::Backend(error) => error.into(),
            error => Self::internal(chain(&error)),
        }
    }
}

impl From<onceward_cart_store::Error> for Problem {
    fn from(error: onceward_cart_store::Error) -> Self {
        use onceward_cart_store::Error as E;
        match error {
            E::Invalid(what) => Self::invalid(format!("{what}.")),
            E::Limit(exceeded) => Self::invalid(format!("That is more than a cart holds: {exceeded}.")),
            E::UnknownLine { .. } => Self::not_found("That is not in your cart."),
            E::Sealed { .. } => Self::conflict("You signed in meanwhile. Reload the page."),
            E::Contended | E::OutcomeUnknown => Self::busy("Your cart is busy right now. Look at it, then try again."),
            E::Backend(error) => error.into(),
            error => Self::internal(chain(&error)),
        }
    }
}

impl From<StoresError> for Problem {
    fn from(error: StoresError) -> Self {
        match error {
            StoresError::Backend(error) => error.into(),
            StoresError::Dtx(error) => error.into(),
            StoresError::Carts(error) => error.into(),
            StoresError::Tokens(error) => error.into(),
            error => Self::internal(chain(&error)),
        }
    }
}

/// An error with its causes, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
