//! The client that publishes. The library connects by itself, and again; what has failed for good is made anew.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, Producer as _, PurgeConfig},
};

use super::{config::Log, verdict::failed};
use crate::Error;

pub(super) type Publisher = FutureProducer<Log>;

pub(super) struct Link {
    config: ClientConfig,
    current: Mutex<Option<Arc<Publisher>>>,
}

impl Link {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self { config, current: Mutex::default() }
    }

    pub(super) fn publisher(&self) -> Result<Arc<Publisher>, Error> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(publisher) = &*current {
            return Ok(Arc::clone(publisher));
        }
        let made = self.config.create_with_context(Log).map_err(|error| failed("a kafka client", &error))?;
        Ok(Arc::clone(current.insert(Arc::new(made))))
    }

    /// Gives a client up; others who have it in hand end what they began. After a doubt, what it still has is not sent any more:
    /// it would come behind the repeats.
    pub(super) fn give_up(&self, publisher: Arc<Publisher>, doubtful: bool) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &publisher)) {
            *current = None;
        }
        drop(current);
        if doubtful {
            publisher.purge(PurgeConfig::default().queue().inflight());
        }
        // Its end waits for a thread of its own.
        tokio::task::spawn_blocking(move || drop(publisher));
    }
}
