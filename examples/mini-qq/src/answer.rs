//! Answers in QQ's formats, byte by byte.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;

/// How QQ says no, with its own numbers and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    ResponseType,
    NoClient,
    NoSecret,
    GrantType,
    NoCode,
    NoRefreshToken,
    NoAccessToken,
    UnknownClient,
    WrongSecret,
    RedirectUri,
    TokenExpired,
    TokenRevoked,
    TokenUnknown,
    CodeRejected,
    CodeReused,
    RefreshRejected,
    BadRequest,
    NoConsent,
    NoUnionId,
    /// The server itself failed.
    Busy,
}

/// Which of QQ's formats a caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Form text or JSONP, as `text/html`.
    Classic,
    /// `fmt=json`.
    Json,
}

#[derive(Serialize)]
struct ErrorBody {
    error: u32,
    error_description: &'static str,
}

impl Failure {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::ResponseType => 100_000,
            Self::NoClient => 100_001,
            Self::NoSecret => 100_002,
            Self::GrantType => 100_004,
            Self::NoCode => 100_005,
            Self::NoRefreshToken => 100_006,
            Self::NoAccessToken => 100_007,
            Self::UnknownClient => 100_008,
            Self::WrongSecret => 100_009,
            Self::RedirectUri => 100_010,
            Self::TokenExpired => 100_014,
            Self::TokenRevoked => 100_015,
            Self::TokenUnknown => 100_016,
            Self::CodeRejected => 100_019,
            Self::CodeReused => 100_020,
            Self::Busy => 100_021,
            Self::RefreshRejected => 100_022,
            Self::BadRequest => 100_029,
            Self::NoConsent => 100_030,
            Self::NoUnionId => 100_048,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ResponseType => "param response_type is wrong or lost",
            Self::NoClient => "param client_id is lost",
            Self::NoSecret => "param client_secret is lost",
            Self::GrantType => "param grant_type is wrong or lost",
            Self::NoCode => "param code is lost",
            Self::NoRefreshToken => "param refresh_token is lost",
            Self::NoAccessToken => "param access_token is lost",
            Self::UnknownClient => "client id is not existed",
            Self::WrongSecret => "client secret is illegal",
            Self::RedirectUri => "redirect uri is illegal",
            Self::TokenExpired => "access token is expired",
            Self::TokenRevoked => "access token is revoked",
            Self::TokenUnknown => "access token check failed",
            Self::CodeRejected => "code to access token error",
            Self::CodeReused => "code is reused error",
            Self::Busy => "get access token error",
            Self::RefreshRejected => "refresh token is illegal",
            Self::BadRequest => "http request is wrong",
            Self::NoConsent => "user has not authorized this api",
            Self::NoUnionId => "client has no permission of unionid",
        }
    }

    /// As the token and me endpoints answer: with HTTP status 200, like everything at QQ.
    pub(crate) fn answer(self, format: Format) -> Response {
        self.body().in_format(format)
    }

    fn body(self) -> ErrorBody {
        ErrorBody { error: self.number(), error_description: self.text() }
    }
}

impl ErrorBody {
    fn in_format(&self, format: Format) -> Response {
        match format {
            Format::Classic => callback(self),
            Format::Json => json(self),
        }
    }
}

/// `callback( {..} );`
pub(crate) fn callback(body: &impl Serialize) -> Response {
    classic(format!("callback( {} );", to_json(body)))
}

/// `name=value&name=value`; the values are ours and need no escaping.
pub(crate) fn form(pairs: &[(&str, String)]) -> Response {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    classic(pairs.join("&"))
}

pub(crate) fn json(body: &impl Serialize) -> Response {
    respond("application/json; charset=utf-8", to_json(body))
}

fn classic(text: String) -> Response {
    respond("text/html; charset=utf-8", text)
}

fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("structs of text and numbers")
}

fn respond(content_type: &'static str, text: String) -> Response {
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::PRAGMA, "no-cache")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Body::from(text))
        .expect("constant headers")
}
