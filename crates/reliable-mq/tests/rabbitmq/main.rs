//! The contract of brokers on RabbitMQ, on both kinds of queues, and what only a real server can show.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod faults;
mod foreign;
mod publish;
#[path = "../cases/replayed.rs"]
mod replayed;
mod scripted;
#[path = "../cases/wire.rs"]
mod wire;

use std::{sync::Arc, time::Duration};

use onceward_reliable_mq::{Broker, RabbitMqBroker, RabbitMqOptions};
use testkit::Lent;
use testkit::rabbitmq::virtual_host;

/// A virtual host of one test's own; it goes with everything in it.
#[derive(Debug)]
pub struct Space {
    host: Lent,
    options: RabbitMqOptions,
}

impl Space {
    pub async fn fresh() -> Self {
        Self { host: virtual_host().await, options: RabbitMqOptions::default() }
    }

    pub fn url(&self) -> &str {
        self.host.url()
    }

    pub fn options(&self) -> RabbitMqOptions {
        self.options.clone()
    }

    pub fn broker(&self) -> RabbitMqBroker {
        RabbitMqBroker::new(self.url(), self.options()).unwrap()
    }

    pub fn broker_at(&self, url: &str) -> Arc<dyn Broker> {
        Arc::new(RabbitMqBroker::new(url, self.options()).unwrap())
    }
}

async fn make(quorum: bool, visibility: Duration) -> (Arc<dyn Broker>, Space) {
    let mut space = Space::fresh().await;
    space.options = space.options().with_quorum(quorum).with_visibility(visibility);
    (Arc::new(space.broker()), space)
}

mod classic {
    async fn make(visibility: std::time::Duration) -> (std::sync::Arc<dyn onceward_reliable_mq::Broker>, super::Space) {
        super::make(false, visibility).await
    }
    onceward_reliable_mq::conformance!(broker: make);
}

mod quorum {
    async fn make(visibility: std::time::Duration) -> (std::sync::Arc<dyn onceward_reliable_mq::Broker>, super::Space) {
        super::make(true, visibility).await
    }
    onceward_reliable_mq::conformance!(broker: make);
}

#[test]
fn what_the_inbox_may_have_forgotten_is_parked() {
    onceward_reliable_mq::conformance::block_on(async {
        let space = Space::fresh().await;
        replayed::a_replay_that_the_inbox_may_have_forgotten_is_parked(space.broker_at(space.url())).await;
    });
}
