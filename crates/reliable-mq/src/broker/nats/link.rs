//! A connection that is made when it is needed, and made anew with pauses when it is lost.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, Message, Request, ServerAddr, client::RequestErrorKind};
use bytes::Bytes;
use onceward_backend::{RetryPolicy, internal::random_unit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;

pub(super) struct Link {
    servers: Vec<ServerAddr>,
    timeout: Duration,
    reconnect: RetryPolicy,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    failures: u32,
    rest_until: Option<Instant>,
}

/// One connection, used until it is lost. The client tries each server once more by itself, and what it had in hand may
/// leave then, under its id; but nobody is kept waiting for that, and nothing new is given to it.
pub(super) struct Live {
    pub(super) client: Client,
    lost: CancellationToken,
    timeout: Duration,
    /// Per queue whether it was there when it was looked for; locked while messages are taken off it.
    receivers: Mutex<HashMap<String, Receiver>>,
}

pub(super) type Receiver = Arc<tokio::sync::Mutex<bool>>;

impl Link {
    /// The servers of the URL, one or several with commas between them.
    pub(super) fn new(url: &str, timeout: Duration, reconnect: RetryPolicy) -> Result<Self, Error> {
        let servers = url.split(',').map(ServerAddr::from_str).collect::<Result<_, _>>();
        // The parser's own message might quote the password.
        let servers = servers.map_err(|_| broker("this is not a nats url"))?;
        Ok(Self { servers, timeout, reconnect, state: tokio::sync::Mutex::default() })
    }

    /// The connection, made if there is none; refused at once while it rests after a failure.
    pub(super) async fn live(&self) -> Result<Arc<Live>, Error> {
        let mut state = self.state.lock().await;
        if let Some(live) = state.live.take() {
            if !live.lost.is_cancelled() {
                state.live = Some(Arc::clone(&live));
                return Ok(live);
            }
            tracing::info!("the connection to the broker is lost");
        }
        if state.rest_until.is_some_and(|until| Instant::now() < until) {
            return Err(broker("the broker could not be reached a moment ago"));
        }
        match self.connect().await {
            Ok(live) => {
                let live = Arc::new(live);
                *state = State { live: Some(Arc::clone(&live)), ..State::default() };
                Ok(live)
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let pause = self.reconnect.delay(state.failures, 0.5 + random_unit() / 2.0);
                state.rest_until = Some(Instant::now() + pause);
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Live, Error> {
        let lost = CancellationToken::new();
        let heard = lost.clone();
        let options = ConnectOptions::new()
            .name("onceward")
            .connection_timeout(self.timeout)
            // The first connection counts: each server has its turn.
            .max_reconnects(self.servers.len())
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    heard.cancel();
                }
                async {}
            });
        let connect = options.connect(self.servers.as_slice());
        match tokio::time::timeout(self.timeout, connect).await {
            Ok(Ok(client)) => Ok(Live { client, lost, timeout: self.timeout, receivers: Mutex::default() }),
            Ok(Err(error)) => Err(Error::Broker(Box::new(error))),
            Err(_elapsed) => Err(broker("no answer in time")),
        }
    }

    /// Gives a connection up that does not answer; the next call makes a new one.
    pub(super) async fn drop_live(&self, live: &Arc<Live>) {
        let mut state = self.state.lock().await;
        if state.live.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            state.live = None;
        }
    }
}

impl Live {
    /// Waits for what comes over this connection: at most so long, and no longer than there is a connection.
    pub(super) async fn within<T>(&self, timeout: Duration, answer: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = tokio::time::timeout(timeout, answer) => answer.map_err(|_elapsed| broker("no answer in time")),
            () = self.lost.cancelled() => Err(broker("the connection to the broker is lost")),
        }
    }

    /// Asks and waits for the answer; `None` if nobody listens there.
    pub(super) async fn ask(&self, subject: String, payload: Bytes) -> Result<Option<Message>, Error> {
        let request = Request::new().payload(payload).timeout(None);
        match self.within(self.timeout, self.client.send_request(subject, request)).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(None),
            Err(error) => Err(Error::Broker(Box::new(error))),
        }
    }

    pub(super) fn receiver(&self, queue: &str) -> Receiver {
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(receivers.entry(queue.to_owned()).or_default())
    }
}

impl fmt::Debug for Link {
    // Not the address: it has the password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

pub(super) fn broker(what: impl Into<crate::error::BoxError>) -> Error {
    Error::Broker(what.into())
}
