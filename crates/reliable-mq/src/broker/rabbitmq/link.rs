//! A connection that is made when it is needed, and made anew with pauses when it is lost.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use onceward_backend::{RetryPolicy, internal::random_unit};
use tokio::time::Instant;

use crate::Error;

pub(super) struct Link {
    uri: AMQPUri,
    timeout: Duration,
    reconnect: RetryPolicy,
    pub(super) exchange: String,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    failures: u32,
    rest_until: Option<Instant>,
}

/// One connection. It has its channels with it, so that none outlives it.
pub(super) struct Live {
    pub(super) connection: Connection,
    /// Channels in confirm mode without an open confirm.
    idle: Mutex<Vec<Channel>>,
    /// Per queue the channel that its deliveries came on; taken out while a call is under way, so that a call that is
    /// cancelled closes its channel, and what it may have received goes back.
    pub(super) receivers: Mutex<HashMap<String, Receiver>>,
}

pub(super) type Receiver = Arc<tokio::sync::Mutex<Option<Channel>>>;

impl Link {
    pub(super) fn new(uri: AMQPUri, timeout: Duration, reconnect: RetryPolicy, exchange: String) -> Self {
        Self { uri, timeout, reconnect, exchange, state: tokio::sync::Mutex::default() }
    }

    /// The connection, made if there is none; refused at once while it rests after a failure.
    pub(super) async fn live(&self) -> Result<Arc<Live>, Error> {
        let mut state = self.state.lock().await;
        if let Some(live) = state.live.take() {
            if live.connection.status().connected() {
                state.live = Some(Arc::clone(&live));
                return Ok(live);
            }
            tracing::info!("the connection to the broker is lost");
        }
        if state.rest_until.is_some_and(|until| Instant::now() < until) {
            return Err(broker("the broker could not be reached a moment ago"));
        }
        let connect = Connection::connect_uri(self.uri.clone(), ConnectionProperties::default());
        match within(self.timeout, connect).await {
            Ok(connection) => {
                let live = Live { connection, idle: Mutex::default(), receivers: Mutex::default() };
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

    /// Gives a connection up that does not answer; the next call makes a new one.
    pub(super) async fn drop_live(&self, live: &Arc<Live>) {
        let mut state = self.state.lock().await;
        if state.live.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            state.live = None;
        }
    }

    /// A channel for one task, since an error of the server closes it.
    pub(super) async fn channel(&self) -> Result<(Arc<Live>, Channel), Error> {
        let live = self.live().await?;
        match within(self.timeout, live.connection.create_channel()).await {
            Ok(channel) => Ok((live, channel)),
            Err(error) => {
                self.drop_live(&live).await;
                Err(error)
            }
        }
    }
}

impl Live {
    pub(super) fn take_idle(&self) -> Option<Channel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|channel| channel.status().connected());
        idle.pop()
    }

    pub(super) fn put_idle(&self, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(channel);
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

const MOST_IDLE: usize = 8;

/// The answer of the broker, or that there was none in time.
pub(super) async fn within<T>(
    timeout: Duration,
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer.map_err(|error| Error::Broker(Box::new(error))),
        Err(_elapsed) => Err(broker("no answer in time")),
    }
}

pub(super) fn broker(what: &'static str) -> Error {
    Error::Broker(what.into())
}
