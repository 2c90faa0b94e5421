//! The authorize page and its answer.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::answer::Failure;
use crate::grants::{Decision, Event, Grant};
use crate::key::{digest, secret};
use crate::page::{self, Authorize, Choice};
use crate::params::{Params, encode};
use crate::request::Request;
use crate::server::{Inner, Server};

/// `GET /oauth2.0/authorize`
pub(crate) async fn page(State(server): State<Server>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let server = server.inner();
    let checked = Params::parse(query.as_deref().unwrap_or_default())
        .map_err(|_| Failure::BadRequest)
        .and_then(|params| server.clients(|clients| Request::check(&params, clients, server.end(server.page_ttl))));
    let request = match checked {
        Ok(request) => request,
        Err(failure) => return page::refused(failure),
    };
    // One cookie serves all tabs of a browser, so an open page stays good when another is opened.
    let cookie = match browser(&headers) {
        Some(cookie) => cookie.to_owned(),
        None => match secret() {
            Ok(cookie) => cookie,
            Err(_) => return page::unavailable(),
        },
    };
    server.counters().stats.pages += 1;
    let choices = server.users.iter().map(|user| Choice::new(&user.name, &user.nickname)).collect();
    let sealed = request.seal(&server.key, &cookie);
    let page = Authorize { client: &request.client, scope: &request.scope, request: &sealed, choices };
    let mut response = page::show(StatusCode::OK, &page, Some(&request.redirect_uri));
    let secure =
        if server.origin.as_deref().is_some_and(|origin| origin.starts_with("https:")) { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={cookie}; Path=/oauth2.0/authorize; Max-Age=86400; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// `POST /oauth2.0/authorize`
pub(crate) async fn decide(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Response {
    let server = server.inner();
    let form = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !form.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return page::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This page takes a form only.");
    }
    let Some(form) = std::str::from_utf8(&body).ok().and_then(|text| Params::parse(text).ok()) else {
        return page::problem(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    let sealed = form.text("request").zip(browser(&headers));
    let Some(request) = sealed.and_then(|(text, cookie)| Request::open(text, &server.key, cookie, server.clock.now()))
    else {
        return page::problem(StatusCode::FORBIDDEN, "This form does not belong to your browser, or it is too old.");
    };
    if !server.clients(|clients| request.stands(clients)) {
        return page::refused(Failure::RedirectUri);
    }
    match form.text("decision") {
        Some("approve") => match form.text("user").and_then(|name| server.user(name)) {
            Some(user) => approve(server, &request, &user.name),
            None => page::problem(StatusCode::UNPROCESSABLE_ENTITY, "There is no such person here."),
        },
        Some("deny") => {
            server.counters().stats.denials += 1;
            send_back(server, &request, "usercancel=1")
        }
        _ => page::problem(StatusCode::UNPROCESSABLE_ENTITY, "Neither approved nor denied."),
    }
}

fn approve(server: &Inner, request: &Request, user: &str) -> Response {
    let Ok(code) = secret() else { return page::unavailable() };
    let (client, scope) = (request.client.clone(), request.scope.clone());
    let event = Event::Code {
        code: digest(&code),
        grant: Grant { client, user: user.to_owned(), scope },
        redirect_uri: request.redirect_uri.clone(),
        challenge: request.challenge.clone(),
        expires: server.end(server.code_ttl),
    };
    match server.decide(|_, _| Decision { events: vec![event], answer: Ok(()) }) {
        Ok(()) => {
            server.counters().stats.approvals += 1;
            send_back(server, request, &format!("code={code}"))
        }
        Err(_) => page::unavailable(),
    }
}

/// Sends the browser to the client with `what` and the client's state.
fn send_back(server: &Inner, request: &Request, what: &str) -> Response {
    let joint = if request.redirect_uri.contains('?') { '&' } else { '?' };
    let mut to = format!("{}{joint}{what}", request.redirect_uri);
    if let Some(state) = &request.state {
        let state = if server.faults.swaps_state() { state.chars().rev().collect() } else { state.clone() };
        to.push_str("&state=");
        to.push_str(&encode(&state));
    }
    let headers = [
        (header::LOCATION, to.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// The value of our cookie, if it is one that we gave.
fn browser(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(|(_, value)| value)
}

const COOKIE: &str = "mini_qq_browser";
