//! From a code to tokens, and from tokens to a user, over the provider's adapter.

use std::{future::Future, pin::Pin};

use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    TokenResponse, TokenUrl, basic::BasicClient,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Account, Clock, Error, Failure, Identity, Options, Pkce, Provider,
    http::Http,
    provider::{ClientAuth, Step},
    tokens::Tokens,
};

/// Questions that an adapter may ask about one user.
const MAX_STEPS: usize = 4;

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Where to send the browser, and the secret that its code will be bound to.
pub(crate) fn authorize(provider: &Provider, state: &SecretString) -> Result<(String, Option<SecretString>), Error> {
    let client = client(provider, provider.redirect_uri())?;
    let state = state.expose_secret().to_owned();
    let mut request = client.authorize_url(|| CsrfToken::new(state));
    if !provider.scopes().is_empty() {
        request = request.add_scope(Scope::new(provider.scopes().join(provider.adapter().scope_separator())));
    }
    for (name, value) in provider.adapter().authorize_parameters() {
        request = request.add_extra_param(name, value);
    }
    let verifier = match provider.pkce() {
        Pkce::Off => None,
        Pkce::S256 => {
            let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
            request = request.set_pkce_challenge(challenge);
            Some(SecretString::from(verifier.into_secret()))
        }
    };
    Ok((request.url().0.into(), verifier))
}

/// Talks to one provider.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) http: &'a Http,
    pub(crate) options: &'a Options,
    pub(crate) clock: &'a dyn Clock,
}

impl Exchange<'_> {
    /// Sends the code. The caller sees to it that this happens once for each code.
    pub(crate) async fn tokens(
        &self,
        code: &SecretString,
        verifier: Option<&SecretString>,
        redirect_uri: &str,
    ) -> Result<Tokens, Failure> {
        let client = client(self.provider, redirect_uri).map_err(|_| Failure::Unavailable)?;
        let mut request = client.exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()));
        if let Some(verifier) = verifier {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
        }
        let asked = self.clock.now();
        // The other errors of `oauth2` have the body in their Debug; they go no further than here.
        let answer = request.request_async(&Shim(self)).await.map_err(|error| match error {
            RequestTokenError::Request(failure) => failure,
            _ => Failure::GARBLED,
        })?;
        Ok(Tokens::new(
            SecretString::from(answer.access_token().secret().as_str()),
            answer.refresh_token().map(|token| SecretString::from(token.secret().as_str())),
            answer.expires_in(),
            answer.scopes().into_iter().flatten().map(|scope| scope.to_string()).collect(),
            asked,
        ))
    }

    /// Asks who the tokens belong to. Nothing is sent with a token that has expired.
    pub(crate) async fn identity(&self, tokens: &Tokens) -> Result<Identity, Failure> {
        let mut answers = Vec::new();
        for _ in 0..=MAX_STEPS {
            let token = tokens.live(self.clock.now()).ok_or(Failure::TokenRejected)?;
            match self.provider.adapter().identity(self.provider, token, &answers)? {
                Step::Ask(request) => {
                    let answer = self.http.send(request, self.options.api_timeout).await.map_err(askable)?;
                    if answer.status >= 500 {
                        return Err(Failure::Unavailable);
                    }
                    answers.push(answer);
                }
                Step::Known { subject, profile } => {
                    return Ok(Identity { account: Account::new(self.provider.id(), subject), profile });
                }
            }
        }
        Err(Failure::GARBLED)
    }

    async fn send_code(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let adapter = self.provider.adapter();
        let answer = self.http.send(adapter.token_request(request)?, self.options.token_timeout).await?;
        if answer.status >= 500 {
            return Err(Failure::OutcomeUnknown);
        }
        let answer = adapter.token_answer(&answer)?;
        http::Response::builder()
            .status(200)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(answer.body.to_vec())
            .map_err(|_| Failure::GARBLED)
    }
}

/// A question about a user changes nothing, so an unknown outcome is just no answer.
fn askable(failure: Failure) -> Failure {
    if failure == Failure::OutcomeUnknown { Failure::Unavailable } else { failure }
}

/// Our transport as `oauth2` wants it.
struct Shim<'a>(&'a Exchange<'a>);

impl<'c> AsyncHttpClient<'c> for Shim<'_> {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Failure>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.send_code(request))
    }
}

fn client(provider: &Provider, redirect_uri: &str) -> Result<Client, Error> {
    let wrong = |_| Error::Config(format!("provider {}: a URL cannot be read", provider.id()));
    let endpoints = provider.endpoints();
    Ok(BasicClient::new(ClientId::new(provider.client_id().to_owned()))
        .set_client_secret(ClientSecret::new(provider.secret().expose_secret().to_owned()))
        .set_auth_type(match provider.auth() {
            ClientAuth::Parameters => AuthType::RequestBody,
            ClientAuth::Basic => AuthType::BasicAuth,
        })
        .set_auth_uri(AuthUrl::new(endpoints.authorize.clone()).map_err(wrong)?)
        .set_token_uri(TokenUrl::new(endpoints.token.clone()).map_err(wrong)?)
        .set_redirect_uri(RedirectUrl::new(redirect_uri.to_owned()).map_err(wrong)?))
}
