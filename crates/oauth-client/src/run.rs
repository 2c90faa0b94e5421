//! One attempt to end a login, from the claim to the kept answer.

use std::{future::Future, sync::Arc, time::Duration};

use onceward_backend::internal::mark;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::{
    Digest, Error, Failure, Finished, Login, MAX_ANSWER, client::Inner, exchange::Exchange, lease::Lease,
    pending::Flow, tokens,
};

/// How an attempt to end a login went; one that lost the claim gives the unused step back.
pub(crate) enum Ran<F> {
    Lost(F),
    Ended(Result<Finished, Error>),
}

#[expect(clippy::too_many_arguments, reason = "one caller; the parts of a claim and what follows it")]
pub(crate) async fn run<F, Fut, E>(
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
            let failure = if let Error::Provider(failure) = &error { failure.clone() } else { Failure::Interrupted };
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
async fn login(inner: &Inner, flow: &Flow, code: &SecretString, spent: Digest) -> Result<Login, Error> {
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
