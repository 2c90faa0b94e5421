//! The contract of brokers on RabbitMQ, on both kinds of queues, and what only a real server can show.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod faults;
mod publish;

use std::{sync::Arc, time::Duration};

use onceward_reliable_mq::{Broker, RabbitMqBroker, RabbitMqOptions};

/// The queues that tests use; they are removed when the test is over.
const QUEUES: [&str; 3] = ["queue", "second", "notify"];

/// Names of one test's own at the server.
#[derive(Debug)]
pub struct Space {
    options: RabbitMqOptions,
}

impl Space {
    pub fn fresh() -> Self {
        Self { options: RabbitMqOptions::default().with_prefix(format!("{}.", testkit::namespace())) }
    }

    pub fn options(&self) -> RabbitMqOptions {
        self.options.clone()
    }

    pub fn broker(&self) -> RabbitMqBroker {
        RabbitMqBroker::new(&testkit::url("AMQP_URL"), self.options()).unwrap()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let broker = self.broker();
        // A thread of its own: this may run inside a runtime, which cannot wait for another.
        let removed = std::thread::spawn(move || {
            onceward_backend::conformance::block_on(async {
                for queue in QUEUES {
                    broker.remove(queue).await.unwrap();
                }
            });
        });
        if removed.join().is_err() && !std::thread::panicking() {
            panic!("the queues of a test were not removed");
        }
    }
}

async fn make(quorum: bool, visibility: Duration) -> (Arc<dyn Broker>, Space) {
    let mut space = Space::fresh();
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
