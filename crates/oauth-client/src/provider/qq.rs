//! QQ: a GET with the secret in it, form text for tokens, JSONP for the openid and for errors, JSON for the profile.

use http::{Method, header};
use oauth2::url::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{Adapter, Answer, Endpoints, Fields, Parameters, Provider, Reply, Request, Step, fields, standard};
use crate::{Failure, Profile, Protocol};

/// The adapter of [`Provider::qq`]; the subject is the `openid`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Qq;

pub(super) fn endpoints() -> Endpoints {
    Endpoints::new(
        "https://graph.qq.com/oauth2.0/authorize",
        "https://graph.qq.com/oauth2.0/token",
        "https://graph.qq.com/user/get_user_info",
    )
    .with_subject("https://graph.qq.com/oauth2.0/me")
}

impl Adapter for Qq {
    fn scope_separator(&self) -> &'static str {
        ","
    }

    fn callback<'a>(&self, parameters: &'a Parameters) -> Reply<'a> {
        if parameters.value("usercancel").is_some_and(|value| value != "0") {
            return Reply::Denied;
        }
        // An error of the authorize page comes as `code` and `msg`.
        if let (Some(code), Some(_)) = (parameters.value("code"), parameters.value("msg")) {
            return Reply::Refused(Failure::refused(code));
        }
        standard::callback(parameters)
    }

    fn token_request(&self, request: Request) -> Result<Request, Failure> {
        let (parts, form) = request.into_parts();
        let form = String::from_utf8(form).map_err(|_| Failure::GARBLED)?;
        let uri = parts.uri.to_string();
        let between = if uri.contains('?') { '&' } else { '?' };
        ask(format!("{uri}{between}{form}"))
    }

    fn token_answer(&self, answer: &Answer) -> Result<Answer, Failure> {
        let fields = read(answer)?;
        match refusal(&fields).as_deref() {
            None => standard::tokens(&fields),
            Some(code @ ("100008" | "100009" | "100010" | "100011")) => Err(Failure::misconfigured(code)),
            Some("100018" | "100019" | "100020") => Err(Failure::CodeRejected),
            Some(code) => Err(Failure::refused(code)),
        }
    }

    fn identity(&self, provider: &Provider, token: &SecretString, answers: &[Answer]) -> Result<Step, Failure> {
        let token = token.expose_secret();
        let endpoints = provider.endpoints();
        let Some(me) = answers.first() else {
            let url = endpoints.subject.as_deref().ok_or(Failure::GARBLED)?;
            return question(url, &[("access_token", token)]).map(Step::Ask);
        };
        let openid = openid(provider, me)?;
        let Some(user) = answers.get(1) else {
            let parameters =
                [("access_token", token), ("oauth_consumer_key", provider.client_id()), ("openid", openid.as_str())];
            return question(&endpoints.user_info, &parameters).map(Step::Ask);
        };
        let fields = asked(user)?;
        if !fields.has("ret") {
            return Err(Failure::GARBLED);
        }
        // The larger picture may be missing.
        let avatar = ["figureurl_qq_2", "figureurl_qq_1", "figureurl_2"].iter().find_map(|name| fields.text(name));
        let profile = Profile::new(fields.text("nickname").as_deref(), avatar.as_deref());
        Ok(Step::Known { subject: openid, profile })
    }
}

/// A token that was issued to another application would log its user in here.
fn openid(provider: &Provider, answer: &Answer) -> Result<String, Failure> {
    let fields = asked(answer)?;
    let client_id = fields.text("client_id").ok_or(Failure::GARBLED)?;
    if client_id != provider.client_id() {
        return Err(Failure::SubjectMismatch);
    }
    fields.text("openid").filter(|openid| openid.len() <= 128).ok_or(Failure::GARBLED)
}

fn read(answer: &Answer) -> Result<Fields, Failure> {
    fields(&answer.body).map_err(|failure| {
        // QQ errors are read under any status; an unreadable body tells less than the status it came with.
        if (200..300).contains(&answer.status) { failure } else { Failure::Protocol(Protocol::Status) }
    })
}

/// An answer to a question that was asked with a token.
fn asked(answer: &Answer) -> Result<Fields, Failure> {
    let fields = read(answer)?;
    match refusal(&fields).as_deref() {
        Some("100013" | "100014" | "100015" | "100016") => Err(Failure::TokenRejected),
        Some(code) => Err(Failure::refused(code)),
        None if !(200..300).contains(&answer.status) => Err(Failure::Protocol(Protocol::Status)),
        None => Ok(fields),
    }
}

/// The number of an error: `error` of the login interface, `ret` of the others.
fn refusal(fields: &Fields) -> Option<String> {
    if fields.has("error") {
        return Some(fields.text("error").unwrap_or_default());
    }
    (fields.has("ret") && fields.number("ret") != Some(0)).then(|| fields.text("ret").unwrap_or_default())
}

fn question(url: &str, parameters: &[(&str, &str)]) -> Result<Request, Failure> {
    Url::parse_with_params(url, parameters).map_err(|_| Failure::GARBLED).and_then(|url| ask(url.into()))
}

fn ask(url: String) -> Result<Request, Failure> {
    http::Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "*/*")
        .body(Vec::new())
        .map_err(|_| Failure::GARBLED)
}

#[cfg(test)]
mod tests;
