//! The connection to NATS.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, Message, Request, ServerAddr, client::RequestErrorKind};
use bytes::Bytes;
use onceward_backend::RetryPolicy;
use tokio_util::sync::CancellationToken;

pub(super) use crate::broker::kept::broker;
use crate::{Error, broker::kept::Kept};

pub(super) struct Link {
    servers: Vec<ServerAddr>,
    timeout: Duration,
    kept: Kept<Live>,
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
        Ok(Self { servers, timeout, kept: Kept::new(reconnect) })
    }

    pub(super) async fn live(&self) -> Result<Arc<Live>, Error> {
        self.kept.live(|live| !live.lost.is_cancelled(), self.connect()).await
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

    pub(super) async fn drop_live(&self, live: &Arc<Live>) {
        self.kept.give_up(live).await;
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
