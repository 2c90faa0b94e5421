//! Providers: data, and a small adapter for what each does in its own way.

mod adapter;
mod body;
mod check;
mod qq;
mod standard;

use std::sync::Arc;

use secrecy::SecretString;

pub use self::{
    adapter::{Adapter, Reply, Step},
    body::{Fields, fields},
    qq::Qq,
    standard::Standard,
};
pub use crate::{
    callback::Parameters,
    http::{Answer, Request},
};

/// Where a provider listens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Endpoints {
    /// The page that the browser is sent to.
    pub authorize: String,
    /// Where the code becomes a token.
    pub token: String,
    /// Where the user's profile is asked.
    pub user_info: String,
    /// Where the user's id is asked, at providers that have a place of its own for it.
    pub subject: Option<String>,
}

impl Endpoints {
    /// The three endpoints that every provider has.
    #[must_use]
    pub fn new(authorize: impl Into<String>, token: impl Into<String>, user_info: impl Into<String>) -> Self {
        Self { authorize: authorize.into(), token: token.into(), user_info: user_info.into(), subject: None }
    }

    /// Adds the place where the user's id is asked.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }
}

/// Whether the code is bound to a secret that only the browser's own login knows (RFC 7636).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pkce {
    /// The provider does not know it.
    Off,
    /// With SHA-256.
    S256,
}

/// How the client shows the provider who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAuth {
    /// Id and secret stand among the parameters.
    Parameters,
    /// Id and secret stand in an `Authorization: Basic` header.
    Basic,
}

/// A provider as this application is registered there.
///
/// ```
/// use onceward_oauth_client::{Pkce, Provider};
///
/// let qq = Provider::qq("101", "app-key".into(), "https://shop.example/auth/qq/callback");
/// assert_eq!((qq.id(), qq.name(), qq.pkce()), ("qq", "QQ", Pkce::Off));
/// ```
#[derive(Clone, Debug)]
pub struct Provider {
    id: String,
    name: String,
    endpoints: Endpoints,
    origin: Option<String>,
    client_id: String,
    secret: SecretString,
    redirect_uri: String,
    scopes: Vec<String>,
    pkce: Pkce,
    auth: ClientAuth,
    issuer: Option<String>,
    adapter: Arc<dyn Adapter>,
}

impl Provider {
    /// QQ: form text, JSONP and JSON; the subject is the `openid`. PKCE is off, as QQ does not document it.
    #[must_use]
    pub fn qq(client_id: impl Into<String>, secret: SecretString, redirect_uri: impl Into<String>) -> Self {
        let mut provider = Self::custom("qq", qq::endpoints(), client_id, secret, redirect_uri, Arc::new(Qq));
        provider.name = "QQ".to_owned();
        provider.pkce = Pkce::Off;
        provider.scopes = vec!["get_user_info".to_owned()];
        provider
    }

    /// A provider that keeps to RFC 6749, with JSON answers and a bearer token at the user endpoint. PKCE is on.
    #[must_use]
    pub fn standard(
        id: impl Into<String>,
        endpoints: Endpoints,
        client_id: impl Into<String>,
        secret: SecretString,
        redirect_uri: impl Into<String>,
    ) -> Self {
        Self::custom(id, endpoints, client_id, secret, redirect_uri, Arc::new(Standard))
    }

    /// A provider with an adapter of your own. PKCE is on.
    #[must_use]
    pub fn custom(
        id: impl Into<String>,
        endpoints: Endpoints,
        client_id: impl Into<String>,
        secret: SecretString,
        redirect_uri: impl Into<String>,
        adapter: Arc<dyn Adapter>,
    ) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            id,
            endpoints,
            origin: None,
            client_id: client_id.into(),
            secret,
            redirect_uri: redirect_uri.into(),
            scopes: Vec::new(),
            pkce: Pkce::S256,
            auth: ClientAuth::Parameters,
            issuer: None,
            adapter,
        }
    }

    /// Another id: small letters, digits, `-` and `_`, at most 32. Accounts are kept under it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// What to write on the button.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same paths at another origin, such as `http://localhost:8081`.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// What to ask the user for.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Whether PKCE is used.
    #[must_use]
    pub fn with_pkce(mut self, pkce: Pkce) -> Self {
        self.pkce = pkce;
        self
    }

    /// How the client is authenticated.
    #[must_use]
    pub fn with_client_auth(mut self, auth: ClientAuth) -> Self {
        self.auth = auth;
        self
    }

    /// The issuer that each callback must then name in `iss` (RFC 9207).
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The id under which it is registered here.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What to write on the button.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The id that it knows this application by.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where it sends the browser back to.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether PKCE is used.
    #[must_use]
    pub fn pkce(&self) -> Pkce {
        self.pkce
    }

    /// Whether any of our own calls to it is over TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        let Endpoints { authorize: _, token, user_info, subject } = &self.endpoints;
        [Some(token), Some(user_info), subject.as_ref()].into_iter().flatten().any(|url| url.starts_with("https:"))
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.secret
    }

    pub(crate) fn scopes(&self) -> &[String] {
        &self.scopes
    }

    pub(crate) fn auth(&self) -> ClientAuth {
        self.auth
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn adapter(&self) -> &dyn Adapter {
        self.adapter.as_ref()
    }
}
