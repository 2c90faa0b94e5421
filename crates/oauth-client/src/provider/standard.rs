//! Providers that keep to RFC 6749, with the leniency that those in the field need.

use http::{Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{Adapter, Answer, Fields, Parameters, Provider, Reply, Request, Step, fields};
use crate::{Failure, Profile, Protocol};

/// JSON answers (also with a missing token type, a lifetime as text, or an error under status 200), and a bearer token
/// at the user endpoint, whose subject is `sub`, else `id`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

impl Adapter for Standard {
    fn identity(&self, provider: &Provider, token: &SecretString, answers: &[Answer]) -> Result<Step, Failure> {
        let Some(answer) = answers.first() else {
            return bearer(&provider.endpoints().user_info, token).map(Step::Ask);
        };
        let fields = user(answer)?;
        let subject = fields.text("sub").or_else(|| fields.text("id")).ok_or(Failure::GARBLED)?;
        let nickname = ["nickname", "name", "login"].iter().find_map(|name| fields.text(name));
        let avatar = ["picture", "avatar_url"].iter().find_map(|name| fields.text(name));
        Ok(Step::Known { subject, profile: Profile::new(nickname.as_deref(), avatar.as_deref()) })
    }
}

/// Reads the callback as RFC 6749 has it.
pub(super) fn callback(parameters: &Parameters) -> Reply<'_> {
    match (parameters.value("error"), parameters.value("code")) {
        (Some("access_denied"), _) => Reply::Denied,
        (Some(error), _) => Reply::Refused(Failure::refused(error)),
        (None, Some(code)) => Reply::Code(code),
        (None, None) => Reply::Nothing,
    }
}

/// Reads the token answer as RFC 6749 has it, form text as well.
pub(super) fn token_answer(answer: &Answer) -> Result<Answer, Failure> {
    let fields = match fields(&answer.body) {
        Ok(fields) => fields,
        Err(_) if !(200..300).contains(&answer.status) => {
            return Err(Failure::Protocol(Protocol::Status));
        }
        Err(failure) => return Err(failure),
    };
    if let Some(error) = fields.text("error") {
        return Err(match error.as_str() {
            "invalid_grant" | "bad_verification_code" => Failure::CodeRejected,
            "invalid_client" | "unauthorized_client" | "incorrect_client_credentials" | "redirect_uri_mismatch" => {
                Failure::misconfigured(&error)
            }
            _ => Failure::refused(&error),
        });
    }
    if !(200..300).contains(&answer.status) {
        return Err(Failure::Protocol(Protocol::Status));
    }
    tokens(&fields)
}

/// The fields of a token answer as RFC 6749 JSON.
pub(super) fn tokens(fields: &Fields) -> Result<Answer, Failure> {
    let mut json = Map::new();
    json.insert("access_token".to_owned(), Value::String(fields.text("access_token").ok_or(Failure::GARBLED)?));
    json.insert("token_type".to_owned(), Value::String("bearer".to_owned()));
    if let Some(refresh) = fields.text("refresh_token") {
        json.insert("refresh_token".to_owned(), Value::String(refresh));
    }
    if fields.has("expires_in") {
        let life = fields.number("expires_in").and_then(|life| u64::try_from(life).ok()).ok_or(Failure::GARBLED)?;
        json.insert("expires_in".to_owned(), life.into());
    }
    if let Some(scope) = fields.text("scope") {
        json.insert("scope".to_owned(), Value::String(scope.replace(',', " ")));
    }
    Ok(Answer::new(200, Value::Object(json).to_string()))
}

/// A GET with the token in its header.
fn bearer(url: &str, token: &SecretString) -> Result<Request, Failure> {
    let mut value =
        header::HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| Failure::GARBLED)?;
    value.set_sensitive(true);
    http::Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::AUTHORIZATION, value)
        .header(header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|_| Failure::GARBLED)
}

fn user(answer: &Answer) -> Result<Fields, Failure> {
    match answer.status {
        200..300 => fields(&answer.body),
        401 => Err(Failure::TokenRejected),
        _ => Err(Failure::Protocol(Protocol::Status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<String, Failure> {
        token_answer(&Answer::new(status, body)).map(|answer| String::from_utf8(answer.body.to_vec()).unwrap())
    }

    #[test]
    fn what_providers_send_becomes_rfc_6749() {
        let lenient = answer(201, r#"{"access_token":"A","expires_in":"7200","scope":"a,b"}"#).unwrap();
        let json: Value = serde_json::from_str(&lenient).unwrap();
        assert_eq!(json["token_type"], "bearer");
        assert_eq!(json["expires_in"], 7200);
        assert_eq!(json["scope"], "a b");
    }

    #[test]
    fn what_providers_refuse_is_told_apart() {
        let refused = |status, body| answer(status, body).unwrap_err();
        assert_eq!(refused(200, r#"{"error":"bad_verification_code"}"#), Failure::CodeRejected);
        assert_eq!(refused(400, r#"{"error":"invalid_grant"}"#), Failure::CodeRejected);
        assert_eq!(refused(401, r#"{"error":"invalid_client"}"#), Failure::misconfigured("invalid_client"));
        assert_eq!(refused(400, r#"{"error":"slow_down"}"#), Failure::refused("slow_down"));
        assert_eq!(refused(404, "<html>"), Failure::Protocol(Protocol::Status));
        assert_eq!(refused(200, "<html>"), Failure::GARBLED);
        assert_eq!(refused(200, "{}"), Failure::GARBLED);
        assert_eq!(refused(200, r#"{"access_token":"A","expires_in":-1}"#), Failure::GARBLED);
    }
}
