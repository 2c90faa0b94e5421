//! Pages for people.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::answer::Failure;
use crate::avatar::hue;
use crate::server::Server;

/// The page that asks a person.
#[derive(Template)]
#[template(path = "authorize.html")]
pub(crate) struct Authorize<'a> {
    pub(crate) client: &'a str,
    pub(crate) scope: &'a str,
    /// The sealed request.
    pub(crate) request: &'a str,
    pub(crate) choices: Vec<Choice<'a>>,
}

/// Somebody to log in as.
pub(crate) struct Choice<'a> {
    name: &'a str,
    nickname: &'a str,
    initial: String,
    /// One of twelve classes of the stylesheet.
    colour: u32,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    title: &'a str,
    text: &'a str,
    number: Option<u32>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    clients: Vec<String>,
}

impl<'a> Choice<'a> {
    pub(crate) fn new(name: &'a str, nickname: &'a str) -> Self {
        let initial = nickname.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
        Self { name, nickname, initial, colour: hue(name) / 30 }
    }
}

impl Authorize<'_> {
    /// The scopes in words.
    fn permissions(&self) -> Vec<&str> {
        let words = |name| match name {
            "get_user_info" => "your nickname, your picture and your gender",
            other => other,
        };
        self.scope.split(',').filter(|name| !name.is_empty()).map(words).collect()
    }
}

/// `GET /`
pub(crate) async fn home(State(server): State<Server>) -> Response {
    let clients = server.inner().clients(|clients| clients.keys().cloned().collect());
    show(StatusCode::OK, &Home { clients }, None)
}

/// `GET /mini-qq.css`
pub(crate) async fn stylesheet() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=300")];
    (headers, include_str!("../static/mini-qq.css")).into_response()
}

pub(crate) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

/// A request that QQ refuses with a number.
pub(crate) fn refused(failure: Failure) -> Response {
    let page = Problem { title: "This login cannot go on", text: failure.text(), number: Some(failure.number()) };
    show(StatusCode::BAD_REQUEST, &page, None)
}

/// A form that is refused.
pub(crate) fn problem(status: StatusCode, text: &str) -> Response {
    show(status, &Problem { title: "That did not work", text, number: None }, None)
}

pub(crate) fn unavailable() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "The server cannot do this now. Please try again.")
}

/// A page with the headers that all have. Browsers apply `form-action` to where the answer of a form redirects to, so
/// the authorize page names its client's origin.
pub(crate) fn show(status: StatusCode, page: &impl Template, form_goes_to: Option<&str>) -> Response {
    let Ok(text) = page.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let client = form_goes_to.map(origin).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {client}; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
    ];
    (status, headers, Html(text)).into_response()
}

/// `scheme://host:port` of an absolute URI, without what would end a directive of the policy.
fn origin(uri: &str) -> &str {
    let start = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[start..].find(['/', '?', ';', ',']).map_or(uri.len(), |at| start + at);
    &uri[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_redirect_uri() {
        assert_eq!(origin("http://127.0.0.1:8080/auth/qq/callback"), "http://127.0.0.1:8080");
        assert_eq!(origin("https://shop.example?x=/"), "https://shop.example");
        assert_eq!(origin("http://shop;script-src/"), "http://shop");
    }
}
