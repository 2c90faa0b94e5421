//! An authorization request: checked, shown to a person, and sent back by the form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::answer::Failure;
use crate::folder::Clients;
use crate::key::Key;
use crate::params::Params;

/// What a client asks for. The form carries it, so that an open page can be answered after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) client: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) scope: String,
    pub(crate) challenge: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) expires: u64,
}

impl Request {
    /// Checks a client's request. QQ shows every error itself and never sends the browser on with one.
    pub(crate) fn check(params: &Params, clients: &Clients, expires: u64) -> Result<Self, Failure> {
        let client = params.text("client_id").ok_or(Failure::NoClient)?;
        let registration = clients.get(client).ok_or(Failure::UnknownClient)?;
        let redirect_uri = params.text("redirect_uri").ok_or(Failure::RedirectUri)?;
        if !registration.redirect_uris.iter().any(|uri| uri == redirect_uri) {
            return Err(Failure::RedirectUri);
        }
        if params.text("response_type") != Some("code") {
            return Err(Failure::ResponseType);
        }
        let challenge = match (params.text("code_challenge"), params.text("code_challenge_method")) {
            (Some(challenge), Some("S256")) if is_challenge(challenge) => Some(challenge.to_owned()),
            (None, None) if !registration.pkce => None,
            _ => return Err(Failure::BadRequest),
        };
        let state = params.text("state");
        let scope = params.text("scope").unwrap_or(DEFAULT_SCOPE);
        if state.is_some_and(|state| state.len() > MAX_STATE) || !is_scope(scope) {
            return Err(Failure::BadRequest);
        }
        Ok(Self {
            client: client.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: state.map(str::to_owned),
            scope: scope.replace(' ', ","),
            challenge,
            expires,
        })
    }

    /// Whether the client may still ask this; it may have been registered anew since the page was shown.
    pub(crate) fn stands(&self, clients: &Clients) -> bool {
        clients.get(&self.client).is_some_and(|registration| {
            registration.redirect_uris.contains(&self.redirect_uri) && (self.challenge.is_some() || !registration.pkce)
        })
    }

    /// The text for the form's hidden field, good for the browser with this cookie only.
    pub(crate) fn seal(&self, key: &Key, cookie: &str) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("text and numbers"));
        let mac = URL_SAFE_NO_PAD.encode(key.mac(PURPOSE, &[&body, cookie]));
        format!("{body}.{mac}")
    }

    /// The request of a form that was sent back by the browser with this cookie.
    pub(crate) fn open(text: &str, key: &Key, cookie: &str, now: u64) -> Option<Self> {
        let (body, mac) = text.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        if !bool::from(key.mac(PURPOSE, &[body, cookie]).as_slice().ct_eq(&mac)) {
            return None;
        }
        let request: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        (request.expires > now).then_some(request)
    }
}

/// 43 characters of base64url: SHA-256.
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// QQ separates names by commas; spaces, as the standard has them, are taken too.
fn is_scope(text: &str) -> bool {
    text.len() <= 256 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_, ".contains(&b))
}

const PURPOSE: &str = "authorize form";
const DEFAULT_SCOPE: &str = "get_user_info";
const MAX_STATE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            client: "shop".to_owned(),
            redirect_uri: "http://shop/cb".to_owned(),
            state: Some("s".to_owned()),
            scope: "get_user_info".to_owned(),
            challenge: None,
            expires: 100,
        }
    }

    #[test]
    fn a_sealed_request_comes_back_to_its_browser_in_time() {
        let key = Key::generate().unwrap();
        let sealed = request().seal(&key, "cookie");
        assert_eq!(Request::open(&sealed, &key, "cookie", 99), Some(request()));
        assert_eq!(Request::open(&sealed, &key, "cookie", 100), None);
        assert_eq!(Request::open(&sealed, &key, "other", 99), None);
        assert_eq!(Request::open(&sealed, &Key::generate().unwrap(), "cookie", 99), None);
    }

    #[test]
    fn a_changed_request_does_not_open() {
        let key = Key::generate().unwrap();
        let sealed = request().seal(&key, "cookie");
        let other = Request { redirect_uri: "http://evil/cb".to_owned(), ..request() }.seal(&key, "c");
        let (body, mac) = (other.split_once('.').unwrap().0, sealed.split_once('.').unwrap().1);
        for text in [format!("{body}.{mac}"), body.to_owned(), String::new(), format!("{sealed}x"), format!("{body}.")]
        {
            assert_eq!(Request::open(&text, &key, "cookie", 0), None, "{text}");
        }
    }
}
