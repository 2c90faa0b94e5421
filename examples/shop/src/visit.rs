//! One request as every handler sees it: whose it is, what it accepts, and how it is answered.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::body::{self, Arrival};
use crate::form::Form;
use crate::pages::{self, Chrome, ErrorPage};
use crate::problem::{Problem, STORE_SILENT, chain};
use crate::session::{Member, Session, set_cookie};

/// Nobody waits longer for an answer. What must not stop half way runs on a task of its own.
const REPLY: Duration = Duration::from_millis(9_500);
/// Where people wanted to go when they were sent to the login page.
pub const RETURN_COOKIE: &str = "shop_return";

/// A request with its session.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Whose it is.
    pub session: Session,
    /// True if the answer is for a program.
    pub json: bool,
    /// True if it changes nothing.
    reads: bool,
    /// Path and query of the request.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Visit {
    fn new(session: Session, request: &Request) -> Self {
        let json = request.headers().get_all(header::ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(names_json));
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        Self { session, json, reads, path, headers: request.headers().clone() }
    }

    /// The member who asks.
    ///
    /// # Errors
    /// 401 for a guest.
    pub fn member(&self) -> Result<&Member, Problem> {
        self.session.member.as_ref().ok_or_else(Problem::sign_in)
    }

    /// Answers with `data` (an object, to which `csrf` is added) or with a page.
    ///
    /// # Errors
    /// If the cart, whose size every page shows, cannot be read.
    pub async fn answer<P: Template>(
        &self,
        app: &App,
        mut data: Value,
        page: impl FnOnce(Chrome) -> P,
    ) -> Result<Response, Problem> {
        if self.json {
            data["csrf"] = self.session.csrf(&app.stores.keys).into();
            return Ok(axum::Json(data).into_response());
        }
        let cart = app.stores.carts.get(&self.session.owner()).await?;
        let count = cart.lines.iter().map(|line| i64::from(line.quantity)).sum();
        Ok(pages::respond(StatusCode::OK, &page(self.chrome(app, count))))
    }

    /// A page to come back to: that of a form has its address, or is the cart's.
    fn page(&self) -> &str {
        if self.reads || self.path == "/checkout" { &self.path } else { "/cart" }
    }

    fn chrome(&self, app: &App, cart_count: i64) -> Chrome {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let search = if path == "/search" {
            Form::parse(query.as_bytes()).text("q").unwrap_or("").to_owned()
        } else {
            String::new()
        };
        Chrome {
            csrf: self.session.csrf(&app.stores.keys),
            nickname: self.session.member.as_ref().map(|member| member.nickname.clone()),
            cart_count,
            search,
            path: self.path.clone(),
        }
    }

    fn render(&self, app: &App, problem: &Problem) -> Response {
        let status = problem.status;
        if self.json {
            let title = status.canonical_reason().unwrap_or("error");
            let body =
                json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": problem.detail });
            return (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        }
        if let Some(instead) = problem.instead {
            let mut response = see_other(instead);
            if instead == "/login" {
                let path: String = form_urlencoded::byte_serialize(self.page().as_bytes()).collect();
                let back = set_cookie(RETURN_COOKIE, &path, 600, app.sessions.secure());
                append_cookie(&mut response, &back);
            }
            return response;
        }
        // Not the cart's count: the store may be what failed.
        let mut page = ErrorPage::new(self.chrome(app, 0), status.as_u16());
        if !problem.detail.is_empty() {
            page = page.with_happened(problem.detail.clone());
        }
        pages::respond(status, &page)
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("a route outside the visit's layer"))
    }
}

/// A form post that has passed the checks all posts share: size, type, csrf, origin, in the contract's order.
#[derive(Debug)]
pub struct Post {
    /// The request.
    pub visit: Visit,
    /// Its fields.
    pub form: Form,
}

impl FromRequest<Arc<App>> for Post {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, app).await?;
        match parts.extensions.get::<Arrival>() {
            Some(Arrival::Whole) => {}
            Some(Arrival::TooLong) => {
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "A form is at most 64 KiB."));
            }
            _ => return Err(Problem::new(StatusCode::BAD_REQUEST, "The form did not arrive whole. Send it again.")),
        }
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail = "Send the form as application/x-www-form-urlencoded.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let form = Form::parse(&Bytes::from_request(Request::new(body), app).await.map_err(Problem::internal)?);
        if parts.headers.get_all(header::ORIGIN).iter().any(|origin| origin.as_bytes() != app.origin.as_bytes()) {
            return Err(Problem::forbidden("The form came from another site."));
        }
        let csrf = form.text("csrf").unwrap_or("");
        if visit.session.is_lost(&app.stores.keys, csrf) {
            return Err(Problem::sign_in());
        }
        if !visit.session.csrf_matches(&app.stores.keys, csrf) {
            return Err(Problem::forbidden("The form is out of date. Go back, reload the page and send it again."));
        }
        Ok(Self { visit, form })
    }
}

/// The layer around all pages: finds the session, renders problems (also the framework's), sends the cookie of a new
/// guest, sets the headers that every page has.
pub async fn layer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut request = body::taken(request).await;
    let until = Instant::now() + REPLY;
    let found = timeout_at(until, app.sessions.find(request.headers())).await;
    let session = match found {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    };
    let failed = session.as_ref().err().map(|_| Problem::busy(STORE_SILENT));
    let session = session.unwrap_or_else(|error| {
        tracing::warn!(error, "sessions cannot be read");
        Session::unreadable()
    });
    let visit = Visit::new(session, &request);
    request.extensions_mut().insert(visit.clone());

    let response = match failed {
        Some(problem) => problem.into_response(),
        None => timeout_at(until, next.run(request)).await.unwrap_or_else(|_| {
            Problem::busy("This takes longer than it should. Look first, then try again.").into_response()
        }),
    };
    let mut response = rendered(&app, &visit, response);

    let sent = response.headers().get_all(header::SET_COOKIE);
    let own = sent.iter().any(|cookie| cookie.to_str().is_ok_and(|cookie| app.sessions.is_session_cookie(cookie)));
    if visit.reads && visit.session.renew && !own {
        let cookie = app.sessions.set_cookie(&visit.session.cookie(&app.stores.keys));
        append_cookie(&mut response, &cookie);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, app.policy.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, cookie"));
    response
}

/// The layer around what needs no session: only renders problems.
pub async fn plain_layer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let request = body::taken(request).await;
    let visit = Visit::new(Session::guest(), &request);
    rendered(&app, &visit, next.run(request).await)
}

/// A problem, or an error of the framework's own, in the form that the visit accepts.
fn rendered(app: &App, visit: &Visit, mut response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| match status {
        // The framework has only one: an address that cannot be decoded, so nothing is there.
        StatusCode::BAD_REQUEST => Problem::not_found("There is nothing at this address."),
        _ => Problem::new(status, ""),
    });
    let mut shown = visit.render(app, &problem);
    for name in [header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            shown.headers_mut().insert(name, value.clone());
        }
    }
    shown
}

/// True if an Accept header names JSON and does not refuse it.
fn names_json(accept: &str) -> bool {
    accept.to_ascii_lowercase().split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let refused = |part: &str| matches!(part.split_once('='), Some(("q", q)) if q.trim().parse() == Ok(0.0));
        parts.next() == Some("application/json") && !parts.any(refused)
    })
}

/// 303 to a path on this shop or to a provider.
pub fn see_other(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = percent(location).parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Adds a cookie to an answer.
pub fn append_cookie(response: &mut Response, cookie: &str) {
    if let Ok(cookie) = cookie.parse() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// What is not plain ASCII, percent-encoded; the rest as it is.
fn percent(location: &str) -> String {
    let mut text = String::with_capacity(location.len());
    for byte in location.bytes() {
        match byte {
            0x21..=0x7e if byte != b'"' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
