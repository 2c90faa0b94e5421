//! Callback: who may end a login, who waits, who gets which answer.

use std::{future::Future, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::{
    BrowserBinder, Digest, Error, Failure, Finished, Login, OAuthClient, Provider,
    callback::Parameters,
    flow,
    lease::Lease,
    pending::{Decision, Flow},
    provider::Reply,
    run::{Ran, run},
};

/// The longest code that is sent on, in bytes; the longest in the field have about 1500.
const MAX_CODE: usize = 2048;

impl OAuthClient {
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
        let provider_label = self.inner().label(provider);
        let span =
            tracing::info_span!("onceward.oauth.callback", provider = provider_label, outcome = tracing::field::Empty);
        let result = self.answer(provider, query, browser, finish).instrument(span.clone()).await;
        let outcome = match &result {
            Ok(finished) if finished.replayed => "replayed",
            Ok(_) => "done",
            Err(error) => error.kind(),
        };
        span.record("outcome", outcome);
        metrics::counter!(
            "onceward_oauth_callback_total",
            "provider" => provider_label.to_owned(),
            "outcome" => outcome
        )
        .increment(1);
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
            let (entry, found) = flow::load(inner, &id).await?.ok_or(Error::FlowNotFound)?;
            let code = read(provider, &parameters, &found, browser)?;
            let spent = code_digest(provider, code);
            match found.decide(&spent, entry.age, entry.left, inner.options.lease) {
                Decision::Claim { left } => {
                    let code = SecretString::from(code);
                    let run = run(Arc::clone(inner), id, entry.version, found, spent, code, left, finish);
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
                    let claimed = Lease::claim(Arc::clone(inner), id, entry.version, found, spent, left).await?;
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
        // Printable ASCII (RFC 6749, appendix A.11); anything else is no code of any provider.
        Reply::Code(code) if code.len() > MAX_CODE || !code.bytes().all(|b| (0x20..=0x7e).contains(&b)) => {
            Err(Error::InvalidCallback("the code is not one"))
        }
        Reply::Code(code) => Ok(code),
        Reply::Denied => Err(Error::Denied),
        Reply::Refused(failure) => Err(failure.into()),
        Reply::Nothing => Err(Error::InvalidCallback("no code")),
    }
}

fn code_digest(provider: &Provider, code: &str) -> Digest {
    Digest::of("code", &[provider.id().as_bytes(), provider.client_id().as_bytes(), code.as_bytes()])
}

fn not_finished() -> Error {
    Error::Finish("an earlier callback with this code failed in the application".into())
}
