//! A tower layer for services that take part in the global transactions of their callers.

use std::mem;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

use crate::propagate;
use crate::tm::{Dtx, Joined};

/// Runs each request whose headers name a global transaction as a part of that one, as [`Dtx::join`] does; others as
/// they are.
///
/// **For routers that only services of yours can reach.** Whoever can name a transaction in a header can hold it open,
/// have it rolled back, and change rows under its locks. So it is a layer of single routers and never on by itself.
///
/// Headers that name no transaction properly are answered with 400. If the part must not be committed, the answer of
/// the handler is replaced by 500: the whole is being rolled back then. Any other answer, an error too, is the
/// handler's own, and the caller decides by it.
///
/// Clients that go away drop the handler's future, which has the whole rolled back.
#[derive(Clone, Debug)]
pub struct JoinLayer(Dtx);

impl JoinLayer {
    /// A layer that joins at that coordinator.
    #[must_use]
    pub const fn new(dtx: Dtx) -> Self {
        Self(dtx)
    }
}

impl<S> Layer<S> for JoinLayer {
    type Service = Join<S>;

    fn layer(&self, inner: S) -> Join<S> {
        Join { dtx: self.0.clone(), inner }
    }
}

/// The service of [`JoinLayer`].
#[derive(Clone, Debug)]
pub struct Join<S> {
    dtx: Dtx,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Join<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Send, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    R: Default + Send,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is used up; its copy is asked next.
        let copy = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, copy);
        let named = propagate::extract(request.headers());
        let dtx = self.dtx.clone();
        Box::pin(async move {
            let remote = match named {
                Ok(Some(remote)) => remote,
                Ok(None) => return inner.call(request).await,
                Err(error) => {
                    tracing::debug!(%error, "refused a request");
                    return Ok(answer(StatusCode::BAD_REQUEST));
                }
            };
            let part = Joined::new(&dtx, remote);
            let response = part.scope(async move { inner.call(request).await }).await;
            match part.leave().await {
                Err(error) if response.is_ok() => {
                    tracing::warn!(%error, "a part of another service's transaction must not be committed");
                    Ok(answer(StatusCode::INTERNAL_SERVER_ERROR))
                }
                _ => response,
            }
        })
    }
}

fn answer<R: Default>(status: StatusCode) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = status;
    response
}
