//! What an access token is good for: `/oauth2.0/me` and `/user/get_user_info`.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Serialize;

use crate::answer::{self, Failure, Format};
use crate::grants::Grant;
use crate::key::digest;
use crate::params::Params;
use crate::server::{Inner, Server};
use crate::token::format;

#[derive(Serialize)]
struct Me {
    client_id: String,
    openid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
}

#[derive(Serialize)]
struct Profile {
    ret: i32,
    msg: &'static str,
    is_lost: u8,
    nickname: String,
    gender: String,
    province: &'static str,
    city: &'static str,
    year: &'static str,
    figureurl: String,
    figureurl_1: String,
    figureurl_2: String,
    figureurl_qq_1: String,
    figureurl_qq_2: String,
}

#[derive(Serialize)]
struct Refusal {
    ret: i64,
    msg: &'static str,
}

/// `GET /oauth2.0/me`
pub(crate) async fn me(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let server = server.inner();
    server.counters().stats.me_requests += 1;
    let Ok(params) = Params::parse(query.as_deref().unwrap_or_default()) else {
        return Failure::BadRequest.answer(Format::Classic);
    };
    let format = format(&params);
    match (who(server, &params), format) {
        (Ok(me), Format::Classic) => answer::callback(&me),
        (Ok(me), Format::Json) => answer::json(&me),
        (Err(failure), _) => failure.answer(format),
    }
}

/// `GET /user/get_user_info`
pub(crate) async fn user_info(State(server): State<Server>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let server = server.inner();
    server.counters().stats.user_info_requests += 1;
    let params = Params::parse(query.as_deref().unwrap_or_default()).map_err(|_| Failure::BadRequest.into());
    match params.and_then(|params| profile(server, &params, &headers)) {
        Ok(profile) => answer::json(&profile),
        Err(refusal) => answer::json(&refusal),
    }
}

fn who(server: &Inner, params: &Params) -> Result<Me, Failure> {
    let Grant { client, user, .. } = granted(server, params)?;
    let openid = server.key.openid(&client, &user);
    let unionid = if params.text("unionid") == Some("1") {
        if !server.clients(|clients| clients.get(&client).is_some_and(|client| client.unionid)) {
            return Err(Failure::NoUnionId);
        }
        Some(server.key.unionid(&user))
    } else {
        None
    };
    let client_id = if server.faults.names_foreign_client() { format!("{client}-foreign") } else { client };
    Ok(Me { client_id, openid, unionid })
}

fn profile(server: &Inner, params: &Params, headers: &HeaderMap) -> Result<Profile, Refusal> {
    let grant = granted(server, params)?;
    if params.text("oauth_consumer_key") != Some(grant.client.as_str()) {
        return Err(Refusal { ret: -1, msg: "client request's parameters are invalid, invalid oauth_consumer_key" });
    }
    let openid = server.key.openid(&grant.client, &grant.user);
    if params.text("openid") != Some(openid.as_str()) {
        return Err(Refusal { ret: -1, msg: "client request's parameters are invalid, invalid openid" });
    }
    if !grant.scope.split(',').any(|name| name == "get_user_info") {
        return Err(Failure::NoConsent.into());
    }
    // A person may have been taken out of the settings since the token was given.
    let user = server.user(&grant.user).ok_or(Failure::TokenRevoked)?;
    let avatar = format!("{}/avatar/{openid}.svg", origin(server, headers));
    Ok(Profile {
        ret: 0,
        msg: "",
        is_lost: 0,
        nickname: user.nickname.clone(),
        gender: user.gender.clone(),
        province: "",
        city: "",
        year: "",
        figureurl: avatar.clone(),
        figureurl_1: avatar.clone(),
        figureurl_2: avatar.clone(),
        figureurl_qq_1: avatar.clone(),
        figureurl_qq_2: avatar,
    })
}

fn granted(server: &Inner, params: &Params) -> Result<Grant, Failure> {
    let token = digest(params.text("access_token").ok_or(Failure::NoAccessToken)?);
    server.look(|grants, now| grants.access(&token, now).cloned())
}

/// Where this server is: as it was told, or as the caller calls it.
fn origin(server: &Inner, headers: &HeaderMap) -> String {
    if let Some(origin) = &server.origin {
        return origin.clone();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    format!("http://{}", if plain { host } else { "localhost" })
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { ret: i64::from(failure.number()), msg: failure.text() }
    }
}
