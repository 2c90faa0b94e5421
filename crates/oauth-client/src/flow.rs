//! Begin and callback: the authorization code flow over the stores.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use onceward_backend::internal::mark;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::{
    BrowserBinder, Digest, Error, Failure, Identity, OAuthClient, Provider,
    callback::{Parameters, state_digest},
    client::Inner,
    exchange::{Exchange, authorize},
    lease::Lease,
    pending::{Decision, Flow},
    provider::Reply,
    random, seal,
    store::Entry,
    tokens,
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
    pub async fn begin(
        &self,
        provider: &str,
        browser: &BrowserBinder,
        data: &[u8],
    ) -> Result<Authorize, Error> {
        let span = tracing::info_span!("onceward.oauth.begin", provider);
        let inner = self.inner();
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
            metrics::counter!("onceward_oauth_begin_total", "provider" => provider.id().to_owned())
                .increment(1);
            Ok(Authorize { url })
        }
        .instrument(span)
        .await
    }

    /// Ends a login with what the provider sent the browser back with.
    ///
    /// `query` is the raw query string (or form body) of the callback, `browser` the binder in the request's cookie.
    /// The first callback sends the code, asks who it is, keeps the tokens, and runs `finish`, which creates the
    /// session and the like. Its bytes are kept, sealed, for [`Options::done_ttl`](crate::Options): the same callback
    /// from the same browser gets them again and waits for them if it comes too early.
    ///
    /// `finish` runs at most once for each code. Everything runs on the task tracker: dropping this future, as when
    /// the browser disconnects, stops nothing.
    ///
    /// # Errors
    /// See [`Error`]; after each of them the pending login stays usable by its owner.
    pub async fn callback<F, Fut, E>(
        &self,
        provider: &str,
        query: &str,
        browser: Option<&BrowserBinder>,
        finish: F,
    ) -> Result<Finished, Error>
    where
        F: FnOnce(Login) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let span = tracing::info_span!(
            "onceward.oauth.callback",
            provider,
            outcome = tracing::field::Empty
        );
        let result = self.answer(provider, query, browser, finish).instrument(span.clone()).await;
        let outcome = match &result {
            Ok(finished) if finished.replayed => "replayed",
            Ok(_) => "done",
            Err(error) => error.kind(),
        };
        span.record("outcome", outcome);
        // Only ids of our own become labels.
        let label = self.inner().provider(provider).map_or("unknown", Provider::id).to_owned();
        metrics::counter!("onceward_oauth_callback_total", "provider" => label, "outcome" => outcome).increment(1);
        result
    }

    async fn answer<F, Fut, E>(
        &self,
        provider: &str,
        query: &str,
        browser: Option<&BrowserBinder>,
        mut finish: F,
    ) -> Result<Finished, Error>
    where
        F: FnOnce(Login) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let inner = self.inner();
        let provider = inner.provider(provider)?;
        let parameters = Parameters::parse(query)?;
        let id = parameters.flow().ok_or(Error::FlowNotFound)?;
        let deadline = Instant::now() + inner.options.wait;
        let mut pause = Duration::from_millis(20);
        loop {
            let ended = inner.ended.notified();
            tokio::pin!(ended);
            // Before the load, so that an end between the load and the wait is not missed.
            ended.as_mut().enable();
            let (entry, flow) = load(inner, &id).await?.ok_or(Error::FlowNotFound)?;
            let code = read(provider, &parameters, &flow, browser)?;
            let spent = code_digest(provider, code);
            match flow.decide(&spent, entry.age, entry.left, inner.options.lease) {
                Decision::Claim { left } => {
                    let code = SecretString::from(code);
                    let run =
                        run(Arc::clone(inner), id, entry.version, flow, spent, code, left, finish);
                    // On the tracker from the claim on: from then only this task may send the code.
                    match inner.tasks.spawn(run.in_current_span()).await {
                        Ok(Ran::Ended(result)) => return result,
                        Ok(Ran::Lost(unused)) => finish = unused,
                        // It panicked, or the runtime is going down.
                        Err(_) => return Err(Failure::Interrupted.into()),
                    }
                }
                Decision::Wait if Instant::now() >= deadline => return Err(Error::Busy),
                Decision::Wait => {
                    let wait = pause.min(deadline.saturating_duration_since(Instant::now()));
                    tokio::select! { () = ended => {}, () = sleep(wait) => {} }
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
                Decision::Replay(bytes) => return Ok(Finished { bytes, replayed: true }),
                Decision::Repeat(failure) => {
                    return Err(failure.map_or_else(not_finished, Error::Provider));
                }
                Decision::GiveUp { left } => {
                    let claimed =
                        Lease::claim(Arc::clone(inner), id, entry.version, flow, spent, left)
                            .await?;
                    if let Some(lease) = claimed {
                        lease.release(Some(Failure::Interrupted)).await;
                    }
                }
                Decision::Used => return Err(Error::StateUsed),
                Decision::Expired => return Err(Error::FlowNotFound),
            }
        }
    }
}

/// Checks whose login this is, then what came back. A stranger learns nothing but that it is not theirs.
fn read<'a>(
    provider: &Provider,
    parameters: &'a Parameters,
    flow: &Flow,
    browser: Option<&BrowserBinder>,
) -> Result<&'a str, Error> {
    if flow.provider != provider.id() {
        return Err(Error::ProviderMismatch);
    }
    if !flow.belongs_to(browser) {
        return Err(Error::BrowserMismatch);
    }
    if provider.issuer().is_some_and(|issuer| parameters.value("iss") != Some(issuer)) {
        return Err(Error::ProviderMismatch);
    }
    match provider.adapter().callback(parameters) {
        Reply::Code(code) => Ok(code),
        Reply::Denied => Err(Error::Denied),
        Reply::Refused(failure) => Err(failure.into()),
        Reply::Nothing => Err(Error::InvalidCallback("no code")),
    }
}

/// How an attempt to end a login went; one that lost the claim gives the unused step back.
enum Ran<F> {
    Lost(F),
    Ended(Result<Finished, Error>),
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller; the parts of a claim and what follows it"
)]
async fn run<F, Fut, E>(
    inner: Arc<Inner>,
    id: Digest,
    version: i64,
    flow: Flow,
    spent: Digest,
    code: SecretString,
    left: Duration,
    finish: F,
) -> Ran<F>
where
    F: FnOnce(Login) -> Fut,
    Fut: Future<Output = Result<Vec<u8>, E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut lease = match Lease::claim(Arc::clone(&inner), id, version, flow, spent, left).await {
        Ok(Some(lease)) => lease,
        Ok(None) => return Ran::Lost(finish),
        Err(error) => return Ran::Ended(Err(error)),
    };
    match inner.stores.codes.first_use(&spent, inner.options.code_ttl).await {
        Ok(true) => {}
        Ok(false) => {
            lease.release(Some(Failure::CodeAlreadyUsed)).await;
            return Ran::Ended(Err(Failure::CodeAlreadyUsed.into()));
        }
        Err(error) => {
            // It may have been remembered, so this code is given up; it was not sent.
            lease.release(Some(Failure::Interrupted)).await;
            return Ran::Ended(Err(error.into()));
        }
    }
    mark("oauth.claimed");
    let flow = lease.flow().clone();
    let login = lease.keep(login(&inner, &flow, &code, spent)).await;
    mark("oauth.exchanged");
    let login = match login {
        // A claim that was lost meanwhile (this process was stopped, say) must not end with a second session.
        Ok(login) => match lease.renew().await {
            Ok(true) => login,
            Ok(false) => return Ran::Ended(Err(Failure::Interrupted.into())),
            Err(error) => return Ran::Ended(Err(error)),
        },
        Err(error) => {
            let failure = if let Error::Provider(failure) = &error {
                failure.clone()
            } else {
                Failure::Interrupted
            };
            lease.release(Some(failure)).await;
            return Ran::Ended(Err(error));
        }
    };
    let answer = lease.keep(finish(login)).await;
    mark("oauth.finished");
    let error = match answer {
        Ok(bytes) if bytes.len() <= MAX_ANSWER => {
            if !lease.complete(&bytes).await {
                tracing::warn!("a login ended whose end could not be kept for repetitions");
            }
            return Ran::Ended(Ok(Finished { bytes, replayed: false }));
        }
        Ok(_) => Error::DataTooLarge(MAX_ANSWER),
        Err(error) => Error::Finish(error.into()),
    };
    lease.release(None).await;
    Ran::Ended(Err(error))
}

/// From the code to a user whose tokens are kept.
async fn login(
    inner: &Inner,
    flow: &Flow,
    code: &SecretString,
    spent: Digest,
) -> Result<Login, Error> {
    let exchange = Exchange {
        provider: inner.provider(&flow.provider)?,
        http: &inner.http,
        options: &inner.options,
        clock: inner.clock.as_ref(),
    };
    let started = Instant::now();
    let issued = exchange.tokens(code, flow.verifier.as_ref(), &flow.redirect_uri).await?;
    let identity = exchange.identity(&issued).await?;
    metrics::histogram!("onceward_oauth_exchange_seconds", "provider" => flow.provider.clone())
        .record(started.elapsed().as_secs_f64());
    tokens::keep(inner.stores.vault.as_ref(), &inner.keys, &identity.account, &issued).await?;
    Ok(Login { id: spent.to_hex(), identity, data: flow.data.clone() })
}

pub(crate) async fn load(inner: &Inner, id: &Digest) -> Result<Option<(Entry, Flow)>, Error> {
    let Some(entry) = inner.stores.flows.load(id).await? else { return Ok(None) };
    let Some(plain) = seal::open(&inner.keys, CONTEXT, id, &entry.body)? else { return Ok(None) };
    let flow = serde_json::from_slice(&plain).map_err(|_| seal::corrupt("unreadable login"))?;
    Ok(Some((entry, flow)))
}

pub(crate) fn seal(inner: &Inner, id: &Digest, flow: &Flow) -> Result<Vec<u8>, Error> {
    let plain = zeroize::Zeroizing::new(
        serde_json::to_vec(flow).map_err(|_| seal::corrupt("unwritable login"))?,
    );
    seal::seal(&inner.keys, CONTEXT, id, &plain)
}

fn code_digest(provider: &Provider, code: &str) -> Digest {
    Digest::of(
        "code",
        &[provider.id().as_bytes(), provider.client_id().as_bytes(), code.as_bytes()],
    )
}

fn not_finished() -> Error {
    Error::Finish("an earlier callback with this code failed in the application".into())
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
