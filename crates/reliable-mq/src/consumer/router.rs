//! Handlers by topic, with the values that they read.

use std::{collections::BTreeMap, fmt, sync::Arc};

use onceward_backend::Db;
use serde::de::DeserializeOwned;

use super::handler::{BoxHandler, HandlerError};
use crate::{Error, broker::Subscription, message::Envelope, tx::Tx};

/// Which handler gets the messages of which topic, and what it reads from their JSON.
///
/// A payload that cannot be read is parked at once, and so is a message of a topic that no handler takes: with a reason, to be
/// replayed once there is one.
///
/// ```
/// # use std::sync::Arc;
/// # use onceward_backend::sqlx::{self, Sqlite};
/// # use onceward_reliable_mq::{Broker, Consumer, Error, Inbox, Router};
/// #[derive(serde::Deserialize)]
/// struct Confirmed {
///     order: i64,
/// }
///
/// # fn example(broker: Arc<dyn Broker>, inbox: Inbox<Sqlite>) -> Result<(), Error> {
/// let router = Router::<Sqlite>::new()
///     .on("orders.confirmed", async |mut tx, confirmed: Confirmed, _| {
///         sqlx::query("insert into mails (order_id) values (?)").bind(confirmed.order).execute(&mut *tx).await?;
///         Ok(())
///     })
///     .on("orders.cancelled", async |mut tx, order: i64, _| {
///         sqlx::query("delete from mails where order_id = ?").bind(order).execute(&mut *tx).await?;
///         Ok(())
///     });
/// let consumer = Consumer::routed(broker, "mailer", inbox, router)?;
/// # let _ = consumer;
/// # Ok(())
/// # }
/// ```
pub struct Router<D: Db> {
    routes: BTreeMap<String, BoxHandler<D>>,
    /// A topic that was given to two handlers.
    twice: Option<String>,
}

impl<D: Db> Default for Router<D> {
    fn default() -> Self {
        Self { routes: BTreeMap::new(), twice: None }
    }
}

impl<D: Db> fmt::Debug for Router<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("topics", &self.routes.keys()).finish_non_exhaustive()
    }
}

impl<D: Db> Router<D> {
    /// A router without a handler.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a topic's messages to `handler`, which gets what their JSON says, and the message itself.
    #[must_use]
    pub fn on<T, F, Fut>(self, topic: impl Into<String>, handler: F) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Tx<D>, T, Envelope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.on_raw(topic, move |tx, envelope: Envelope| {
            let (handler, value) = (Arc::clone(&handler), envelope.json());
            async move { handler(tx, value?, envelope).await }
        })
    }

    /// Gives a topic's messages to `handler` as they are.
    #[must_use]
    pub fn on_raw<F, Fut>(mut self, topic: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Tx<D>, Envelope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let topic = topic.into();
        let handler: BoxHandler<D> = Arc::new(move |tx, envelope| Box::pin(handler(tx, envelope)));
        if self.routes.insert(topic.clone(), handler).is_some() {
            self.twice = Some(topic);
        }
        self
    }

    /// A queue of all its topics.
    pub(super) fn subscription(&self, queue: &str) -> Result<Subscription, Error> {
        match &self.twice {
            Some(topic) => Err(Error::TwoHandlers(topic.clone())),
            None => Ok(self.routes.keys().fold(Subscription::new(queue), |queue, topic| queue.topic(topic))),
        }
    }

    pub(super) fn into_handler(self) -> BoxHandler<D> {
        Arc::new(move |tx, envelope| match self.routes.get(envelope.topic()) {
            Some(handler) => handler(tx, envelope),
            None => Box::pin(async move {
                drop(tx);
                Err(HandlerError::reject(format!("no handler takes the topic {}", envelope.topic())))
            }),
        })
    }
}
