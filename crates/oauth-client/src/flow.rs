//! Begin, and the record of a login as it lies in the store.

use std::fmt;

use secrecy::ExposeSecret;
use tracing::Instrument;

use crate::{
    BrowserBinder, Digest, Error, Identity, OAuthClient, callback::state_digest, client::Inner, exchange::authorize,
    pending::Flow, random, seal, store::Entry,
};

const CONTEXT: &str = "onceward oauth-client flow";

/// Largest `data` of [`OAuthClient::begin`], in bytes.
pub const MAX_DATA: usize = 4 * 1024;
/// Largest answer of the application's own step, in bytes.
pub const MAX_ANSWER: usize = 16 * 1024;

/// Where to send the browser. The URL has the state in it: do not log it.
#[non_exhaustive]
pub struct Authorize {
    /// The provider's page.
    pub url: String,
}

/// A login that the provider has confirmed, for the application to finish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// 64 hexadecimal characters, another for each code: a key for what the application must do once.
    pub id: String,
    /// Who it is.
    pub identity: Identity,
    /// What [`OAuthClient::begin`] was given.
    pub data: Vec<u8>,
}

/// The application's answer to an ended login.
#[non_exhaustive]
pub struct Finished {
    /// What the application's own step answered, be it now or when it ran.
    pub bytes: Vec<u8>,
    /// Whether an earlier callback ended the login.
    pub replayed: bool,
}

impl OAuthClient {
    /// Begins a login for a browser: another one each time, so that tabs do not disturb each other.
    ///
    /// `data` is the application's own (where to go afterwards, whose cart); it is sealed, kept, and given back in
    /// [`Login::data`].
    ///
    /// # Errors
    /// [`Error::UnknownProvider`], [`Error::DataTooLarge`], [`Error::Random`], and the store's.
    pub async fn begin(&self, provider: &str, browser: &BrowserBinder, data: &[u8]) -> Result<Authorize, Error> {
        let inner = self.inner();
        let span = tracing::info_span!("onceward.oauth.begin", provider = inner.label(provider));
        async {
            let provider = inner.provider(provider)?;
            if data.len() > MAX_DATA {
                return Err(Error::DataTooLarge(MAX_DATA));
            }
            let state = random::hex()?;
            let (url, verifier) = authorize(provider, &state)?;
            let flow = Flow::new(provider.id(), browser, provider.redirect_uri(), verifier, data);
            let id = state_digest(state.expose_secret());
            let body = seal(inner, &id, &flow)?;
            if !inner.stores.flows.insert(&id, &body, inner.options.pending_ttl).await? {
                return Err(Error::Random("a state came twice".to_owned()));
            }
            metrics::counter!("onceward_oauth_begin_total", "provider" => provider.id().to_owned()).increment(1);
            Ok(Authorize { url })
        }
        .instrument(span)
        .await
    }
}

pub(crate) async fn load(inner: &Inner, id: &Digest) -> Result<Option<(Entry, Flow)>, Error> {
    let Some(entry) = inner.stores.flows.load(id).await? else { return Ok(None) };
    let Some(plain) = seal::open(&inner.keys, CONTEXT, id, &entry.body)? else { return Ok(None) };
    let flow = serde_json::from_slice(&plain).map_err(|_| seal::corrupt("unreadable login"))?;
    Ok(Some((entry, flow)))
}

pub(crate) fn seal(inner: &Inner, id: &Digest, flow: &Flow) -> Result<Vec<u8>, Error> {
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(flow).map_err(|_| seal::corrupt("unwritable login"))?);
    seal::seal(&inner.keys, CONTEXT, id, &plain)
}

impl fmt::Debug for Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").finish_non_exhaustive()
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes usually have a session cookie in them.
        f.debug_struct("Finished").field("replayed", &self.replayed).finish_non_exhaustive()
    }
}
