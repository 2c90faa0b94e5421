//! The contract of brokers on NATS JetStream, and what only a real server can show.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod publish;
mod queue;
#[path = "../cases/replayed.rs"]
mod replayed;
#[path = "../cases/stored.rs"]
mod stored;
#[path = "../cases/wire.rs"]
mod wire;

use std::{sync::Arc, time::Duration};

use onceward_reliable_mq::{Broker, Envelope, Message, MessageId, NatsBroker, NatsOptions};
use testkit::Lent;

/// The streams of one test; they go with everything in them.
#[derive(Debug)]
pub struct Space {
    prefix: Lent,
}

impl Space {
    /// Of an acknowledgement on the wire.
    pub const ACK: &[u8] = b"+ACK";

    pub async fn fresh() -> Self {
        Self { prefix: testkit::nats::prefix().await }
    }

    pub fn url(&self) -> &str {
        self.prefix.url()
    }

    pub fn options(&self) -> NatsOptions {
        NatsOptions::default().with_prefix(self.prefix.name())
    }

    pub fn broker(&self) -> NatsBroker {
        NatsBroker::new(self.url(), self.options()).unwrap()
    }

    pub fn broker_at(&self, url: &str) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::new(url, self.options()).unwrap())
    }

    /// A bare connection, for what the broker does not do.
    pub async fn bare(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.url()).await.unwrap())
    }

    pub fn stream(&self, queue: &str) -> String {
        format!("{}+{queue}", self.prefix.name())
    }

    pub fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix.name())
    }
}

pub fn envelope(topic: &str, text: &str) -> Envelope {
    let id = MessageId::parse(format!("id-{text}")).unwrap();
    Envelope::new(id, Message::to(topic).text(text).unwrap(), 1)
}

async fn make(visibility: Duration) -> (Arc<dyn Broker>, Space) {
    let space = Space::fresh().await;
    (Arc::new(NatsBroker::new(space.url(), space.options().with_visibility(visibility)).unwrap()), space)
}

mod contract {
    use super::make;

    onceward_reliable_mq::conformance!(broker: make);
}

#[test]
fn what_the_inbox_may_have_forgotten_is_parked() {
    onceward_reliable_mq::conformance::block_on(async {
        let space = Space::fresh().await;
        replayed::a_replay_that_the_inbox_may_have_forgotten_is_parked(space.broker_at(space.url())).await;
    });
}
