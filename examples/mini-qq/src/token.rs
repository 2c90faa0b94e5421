//! `/oauth2.0/token`: codes and refresh tokens into access tokens.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::answer::{self, Failure, Format};
use crate::grants::{Decision, Event, Exchange, Grant};
use crate::key::{digest, secret};
use crate::params::Params;
use crate::server::{Inner, Server};

#[derive(Serialize)]
struct Tokens {
    access_token: String,
    expires_in: u64,
    refresh_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<String>,
}

/// `GET /oauth2.0/token`, as QQ documents it; `POST` with the same parameters in a form is taken too.
pub(crate) async fn token(
    State(server): State<Server>,
    method: Method,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    if method == Method::HEAD {
        // A code must not be spent by somebody who cannot read the answer.
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,POST")]).into_response();
    }
    let server = server.inner();
    server.counters().stats.token_requests += 1;
    let Some(params) = read(query.as_deref().unwrap_or_default(), &body) else {
        return Failure::BadRequest.answer(Format::Classic);
    };
    let format = format(&params);
    match issue(server, &params) {
        Ok(tokens) => tokens.answer(format),
        Err(failure) => failure.answer(format),
    }
}

/// The format that the parameters ask for.
pub(crate) fn format(params: &Params) -> Format {
    if params.text("fmt") == Some("json") { Format::Json } else { Format::Classic }
}

fn read(query: &str, body: &[u8]) -> Option<Params> {
    let body = Params::parse(std::str::from_utf8(body).ok()?).ok()?;
    Params::parse(query).ok()?.and(body).ok()
}

fn issue(server: &Inner, params: &Params) -> Result<Tokens, Failure> {
    if let Some(code) = params.text("code") {
        server.counters().code_shown(digest(code));
    }
    let grant_type = params.text("grant_type").ok_or(Failure::GrantType)?;
    let client = params.text("client_id").ok_or(Failure::NoClient)?;
    let secret = params.text("client_secret").ok_or(Failure::NoSecret)?;
    server.authenticate(client, secret)?;
    let fresh = Fresh::draw(server)?;
    let (tokens, grant) = match grant_type {
        "authorization_code" => {
            let code = digest(params.text("code").ok_or(Failure::NoCode)?);
            let shown = Exchange {
                client,
                code: &code,
                redirect_uri: params.text("redirect_uri").unwrap_or_default(),
                verifier: params.text("code_verifier"),
            };
            let given = server.decide(|grants, now| fresh.with(grants.exchange(&shown, now)))?;
            server.counters().stats.tokens_issued += 1;
            given
        }
        "refresh_token" => {
            let token = digest(params.text("refresh_token").ok_or(Failure::NoRefreshToken)?);
            let given = server.decide(|grants, now| fresh.with(grants.refresh(client, &token, now)))?;
            server.counters().stats.refreshes += 1;
            given
        }
        _ => return Err(Failure::GrantType),
    };
    let openid = (params.text("need_openid") == Some("1")).then(|| server.key.openid(&grant.client, &grant.user));
    Ok(Tokens { openid, ..tokens })
}

/// Tokens that were drawn and are not given yet.
struct Fresh {
    access: String,
    refresh: String,
    expires_in: u64,
    expires: u64,
    refresh_expires: u64,
}

impl Fresh {
    fn draw(server: &Inner) -> Result<Self, Failure> {
        Ok(Self {
            access: secret().map_err(|_| Failure::Busy)?,
            refresh: secret().map_err(|_| Failure::Busy)?,
            expires_in: server.token_ttl.as_secs(),
            expires: server.end(server.token_ttl),
            refresh_expires: server.end(server.refresh_ttl),
        })
    }

    /// Gives them if the decision is to; in one record with what the decision spends.
    fn with(&self, decision: Decision<(String, Grant)>) -> Decision<(Tokens, Grant)> {
        let Decision { mut events, answer } = decision;
        let answer = answer.map(|(family, grant)| {
            events.push(Event::Access {
                token: digest(&self.access),
                family: family.clone(),
                grant: grant.clone(),
                expires: self.expires,
            });
            events.push(Event::Refresh {
                token: digest(&self.refresh),
                family,
                grant: grant.clone(),
                expires: self.refresh_expires,
            });
            let (access_token, refresh_token) = (self.access.clone(), self.refresh.clone());
            (Tokens { access_token, expires_in: self.expires_in, refresh_token, openid: None }, grant)
        });
        Decision { events, answer }
    }
}

impl Tokens {
    fn answer(self, format: Format) -> Response {
        if format == Format::Json {
            return answer::json(&self);
        }
        let mut pairs = vec![
            ("access_token", self.access_token),
            ("expires_in", self.expires_in.to_string()),
            ("refresh_token", self.refresh_token),
        ];
        pairs.extend(self.openid.map(|openid| ("openid", openid)));
        answer::form(&pairs)
    }
}
