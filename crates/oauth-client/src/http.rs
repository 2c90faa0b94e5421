//! Outgoing calls: no redirects, no repeats, bounded in time and size.

use std::time::Duration;

use reqwest::{redirect, retry};
use zeroize::Zeroizing;

use crate::{Error, Failure, Options, Protocol};

/// A request to a provider, with its body.
pub type Request = http::Request<Vec<u8>>;

/// A provider's answer. Its body may hold tokens: it is wiped after use and `Debug` does not show it.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status; never a redirect.
    pub status: u16,
    /// The body, at most [`Options::body_limit`](crate::Options) bytes.
    pub body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// An answer from its parts.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: Zeroizing::new(body.into()) }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("length", &self.body.len()).finish()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    limit: usize,
}

impl Http {
    /// Without `tls` no system certificates are loaded: on a machine that has none, loopback still works.
    pub(crate) fn new(options: &Options, tls: bool) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // The environment is not read, so no proxy comes from there.
            .no_proxy()
            .referer(false)
            .user_agent(concat!("onceward-oauth-client/", env!("CARGO_PKG_VERSION")));
        if !tls {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            // The reason ("no CA certificates ..") is in the sources.
            let reason = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
            Error::Config(reason.map(ToString::to_string).collect::<Vec<_>>().join(": "))
        })?;
        Ok(Self { client, limit: options.body_limit })
    }

    /// Sends once. [`Failure::Unavailable`]: nothing was sent; [`Failure::OutcomeUnknown`]: sent, no whole answer.
    pub(crate) async fn send(&self, request: Request, timeout: Duration) -> Result<Answer, Failure> {
        let request = reqwest::Request::try_from(request).map_err(|_| Failure::Unavailable)?;
        tokio::time::timeout(timeout, self.exchange(request)).await.unwrap_or(Err(Failure::OutcomeUnknown))
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Answer, Failure> {
        let mut response = self.client.execute(request).await.map_err(|error| {
            // The error's text has the URL in it, and at some providers that has the secret in it.
            if error.is_connect() { Failure::Unavailable } else { Failure::OutcomeUnknown }
        })?;
        if response.status().is_redirection() {
            return Err(Failure::Protocol(Protocol::Redirect));
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|_| Failure::OutcomeUnknown)? {
            if body.len() + chunk.len() > self.limit {
                return Err(Failure::Protocol(Protocol::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status().as_u16(), body })
    }
}
