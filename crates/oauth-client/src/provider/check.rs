//! What a provider's registration must look like.

use oauth2::url::{Host, Url};

use super::{Endpoints, Provider};
use crate::Error;

impl Provider {
    /// Checks everything and moves the endpoints to the origin, if one was given.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
        if self.id.is_empty() || self.id.len() > 32 || !self.id.bytes().all(legal) {
            return Err(Error::Config("provider id: 1 to 32 small letters, digits, - or _".into()));
        }
        let wrong = |what: &str| Error::Config(format!("provider {}: {what}", self.id));
        if self.client_id.is_empty() {
            return Err(wrong("client id is empty"));
        }
        if self.scopes.iter().any(|s| s.is_empty() || s.contains(|c: char| c.is_whitespace() || c.is_control())) {
            return Err(wrong("a scope is empty or has a space in it"));
        }
        let origin = match &self.origin {
            Some(origin) => Some(safe(origin).ok_or_else(|| wrong("origin is no https URL (http: loopback only)"))?),
            None => None,
        };
        let place = |name: &str, url: &str| {
            let url = safe(url).ok_or_else(|| wrong(&format!("{name} is no https URL (http: loopback only)")))?;
            Ok::<_, Error>(String::from(origin.as_ref().map_or_else(|| url.clone(), |origin| moved(&url, origin))))
        };
        let endpoints = Endpoints {
            authorize: place("authorize endpoint", &self.endpoints.authorize)?,
            token: place("token endpoint", &self.endpoints.token)?,
            user_info: place("user endpoint", &self.endpoints.user_info)?,
            subject: self.endpoints.subject.as_deref().map(|url| place("subject endpoint", url)).transpose()?,
        };
        if safe(&self.redirect_uri).is_none() {
            return Err(wrong("redirect URI is no https URL (http: loopback only)"));
        }
        self.endpoints = endpoints;
        self.origin = None;
        Ok(self)
    }
}

/// An `https` URL, or an `http` one of this machine, with neither user nor fragment.
fn safe(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let local = match url.host()? {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    (plain && (url.scheme() == "https" || (url.scheme() == "http" && local))).then_some(url)
}

fn moved(url: &Url, origin: &Url) -> Url {
    let mut moved = origin.clone();
    moved.set_path(url.path());
    moved.set_query(url.query());
    moved
}

#[cfg(test)]
mod tests {
    use crate::{Error, Provider};

    fn qq(redirect_uri: &str) -> Provider {
        Provider::qq("101", "key".into(), redirect_uri)
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in ["https://a.example/cb", "http://127.0.0.1:80/cb", "http://localhost/cb", "http://[::1]:1/cb"] {
            assert!(qq(good).checked().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example/cb",
            "http://localhost.a.example/cb",
            "http://127.0.0.1.a.example/cb",
            "http://user@localhost/cb",
            "https://a.example/cb#x",
            "ftp://localhost/cb",
            "/cb",
            "",
        ] {
            assert!(matches!(qq(bad).checked(), Err(Error::Config(_))), "{bad}");
        }
        let origin = |origin: &str| qq("https://a.example/cb").with_origin(origin).checked();
        assert!(origin("http://10.0.0.1").is_err());
        let moved = origin("http://localhost:8081").unwrap();
        assert_eq!(moved.endpoints().token, "http://localhost:8081/oauth2.0/token");
        assert_eq!(moved.endpoints().subject.as_deref(), Some("http://localhost:8081/oauth2.0/me"));
    }

    #[test]
    fn ids_and_scopes_are_checked() {
        let good = || qq("https://a.example/cb");
        for id in ["", "Q Q", "q/q", &"x".repeat(33)] {
            assert!(good().with_id(id).checked().is_err(), "{id}");
        }
        assert!(good().with_scopes(["a b"]).checked().is_err());
        assert!(!format!("{:?}", good()).contains("key\""), "the secret is not shown");
    }
}
