//! The connection to RabbitMQ, and its channels.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use onceward_backend::RetryPolicy;

pub(super) use crate::broker::kept::broker;
use crate::{Error, broker::kept::Kept};

pub(super) struct Link {
    uri: AMQPUri,
    timeout: Duration,
    kept: Kept<Live>,
    pub(super) exchange: String,
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
        Self { uri, timeout, kept: Kept::new(reconnect), exchange }
    }

    pub(super) async fn live(&self) -> Result<Arc<Live>, Error> {
        self.kept.live(|live| live.connection.status().connected(), self.connect()).await
    }

    async fn connect(&self) -> Result<Live, Error> {
        let connect = Connection::connect_uri(self.uri.clone(), ConnectionProperties::default());
        let connection = within(self.timeout, connect).await?;
        Ok(Live { connection, idle: Mutex::default(), receivers: Mutex::default() })
    }

    pub(super) async fn drop_live(&self, live: &Arc<Live>) {
        self.kept.give_up(live).await;
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
