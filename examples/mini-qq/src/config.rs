//! What a server is told at its start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::Error;

/// The settings of a [`crate::Server`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where identities, clients, codes and tokens live; `None`: in memory, gone with the server.
    pub data_dir: Option<PathBuf>,
    /// Registered clients, besides those that the data folder remembers.
    pub clients: Vec<Client>,
    /// The people who can log in.
    pub users: Vec<User>,
    /// The server's own origin, `http://127.0.0.1:8081`, for the URLs of avatars; `None`: the Host header's.
    pub origin: Option<String>,
    /// How long a code may be exchanged: 60 s; QQ gives ten minutes.
    pub code_ttl: Duration,
    /// How long an access token lives: 7,776,000 s.
    pub token_ttl: Duration,
    /// How long a refresh token lives: 180 days.
    pub refresh_ttl: Duration,
    /// How long an open authorize page may be answered: an hour.
    pub page_ttl: Duration,
    /// The time.
    pub clock: Clock,
}

/// An application that may ask for logins.
#[derive(Clone)]
#[non_exhaustive]
pub struct Client {
    /// Its public name, QQ's appid.
    pub id: String,
    /// Its secret, QQ's appkey.
    pub secret: String,
    /// Where codes may be sent; compared byte by byte.
    pub redirect_uris: Vec<String>,
    /// Whether PKCE with S256 is required. Without it a challenge is honoured when it is sent.
    pub pkce: bool,
    /// Whether it may ask for the unionid.
    pub unionid: bool,
}

/// Somebody who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The name in the form.
    pub name: String,
    /// The name shown.
    pub nickname: String,
    /// `男`, `女` or empty, as QQ answers.
    pub gender: String,
}

/// Tells the time; a test gives its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Config {
    /// Sets the data folder; it is created when absent.
    #[must_use]
    pub fn with_data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Adds a client.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// Sets the users.
    #[must_use]
    pub fn with_users(mut self, users: Vec<User>) -> Self {
        self.users = users;
        self
    }

    /// Sets the server's own origin.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets the life of a code.
    #[must_use]
    pub fn with_code_ttl(mut self, ttl: Duration) -> Self {
        self.code_ttl = ttl;
        self
    }

    /// Sets the life of an access token.
    #[must_use]
    pub fn with_token_ttl(mut self, ttl: Duration) -> Self {
        self.token_ttl = ttl;
        self
    }

    /// Sets the life of a refresh token.
    #[must_use]
    pub fn with_refresh_ttl(mut self, ttl: Duration) -> Self {
        self.refresh_ttl = ttl;
        self
    }

    /// Sets how long an open authorize page may be answered.
    #[must_use]
    pub fn with_page_ttl(mut self, ttl: Duration) -> Self {
        self.page_ttl = ttl;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.clients.iter().try_for_each(Client::check)?;
        let refuse = |what: &str| Err(Error::Config(what.to_owned()));
        if self.users.is_empty() {
            return refuse("there are no users");
        }
        if self.users.iter().any(|user| !is_name(&user.name)) {
            return refuse("a user's name is not made of 1 to 64 letters, digits, `_`, `-` or `.`");
        }
        if self.origin.as_deref().is_some_and(|origin| !is_web_uri(origin) || origin.ends_with('/')) {
            return refuse("the origin is not like http://host:port");
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        let user = |name, nickname, gender| User::new(name, nickname).with_gender(gender);
        Self {
            data_dir: None,
            clients: Vec::new(),
            users: vec![
                user("alice", "Alice", "女"),
                user("bob", "Bob", "男"),
                user("carol", "Carol", "女"),
                user("dave", "Dave", "男"),
            ],
            origin: None,
            code_ttl: Duration::from_secs(60),
            token_ttl: Duration::from_secs(7_776_000),
            refresh_ttl: Duration::from_secs(180 * 24 * 60 * 60),
            page_ttl: Duration::from_secs(60 * 60),
            clock: Clock::system(),
        }
    }
}

impl Client {
    /// A client as QQ knows them: PKCE is not asked for, the unionid not given.
    #[must_use]
    pub fn new<U: Into<String>>(
        id: impl Into<String>,
        secret: impl Into<String>,
        redirect_uris: impl IntoIterator<Item = U>,
    ) -> Self {
        let redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        Self { id: id.into(), secret: secret.into(), redirect_uris, pkce: false, unionid: false }
    }

    /// Requires PKCE with S256 from it.
    #[must_use]
    pub fn with_pkce(mut self) -> Self {
        self.pkce = true;
        self
    }

    /// Gives it the permission to ask for the unionid.
    #[must_use]
    pub fn with_unionid(mut self) -> Self {
        self.unionid = true;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !is_name(&self.id) {
            return Err(Error::Config(
                "a client id is not made of 1 to 64 letters, digits, `_`, `-` or `.`".to_owned(),
            ));
        }
        if self.secret.is_empty() {
            return Err(Error::Config(format!("client {} has no secret", self.id)));
        }
        match self.redirect_uris.iter().find(|uri| !is_web_uri(uri)) {
            Some(_) => Err(Error::Config(format!("client {}: a redirect URI is not an absolute http(s) URI", self.id))),
            None if self.redirect_uris.is_empty() => {
                Err(Error::Config(format!("client {} has no redirect URI", self.id)))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("redirect_uris", &self.redirect_uris)
            .field("pkce", &self.pkce)
            .field("unionid", &self.unionid)
            .finish_non_exhaustive()
    }
}

impl User {
    /// Somebody of no stated gender.
    #[must_use]
    pub fn new(name: impl Into<String>, nickname: impl Into<String>) -> Self {
        Self { name: name.into(), nickname: nickname.into(), gender: String::new() }
    }

    /// Sets the gender.
    #[must_use]
    pub fn with_gender(mut self, gender: impl Into<String>) -> Self {
        self.gender = gender.into();
        self
    }
}

impl Clock {
    /// The computer's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// A clock that asks `now`.
    #[must_use]
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let since = (self.0)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        millis(since)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Whole milliseconds of `duration`.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// Absolute, http or https, printable ASCII, no fragment.
fn is_web_uri(uri: &str) -> bool {
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && uri.bytes().all(|b| b.is_ascii_graphic() && !b"#\"<>\\".contains(&b))
        && uri.parse::<axum::http::Uri>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_uris_are_absolute_and_without_fragment() {
        for uri in ["http://127.0.0.1:8080/auth/qq/callback", "https://shop.example/cb?x=1"] {
            assert!(Client::new("a", "s", [uri]).check().is_ok(), "{uri}");
        }
        for uri in ["/cb", "http:///cb", "ftp://x/cb", "javascript:alert(1)", "http://x/cb#f", "http://x/ c", ""] {
            assert!(Client::new("a", "s", [uri]).check().is_err(), "{uri}");
        }
    }

    #[test]
    fn a_client_needs_all_its_parts() {
        assert!(Client::new("", "s", ["http://x/"]).check().is_err());
        assert!(Client::new("a b", "s", ["http://x/"]).check().is_err());
        assert!(Client::new("a", "", ["http://x/"]).check().is_err());
        assert!(Client::new("a", "s", Vec::<String>::new()).check().is_err());
    }

    #[test]
    fn the_secret_is_not_printed() {
        let client = Client::new("a", "canary", ["http://x/"]);
        assert!(!format!("{client:?}").contains("canary"));
    }
}
