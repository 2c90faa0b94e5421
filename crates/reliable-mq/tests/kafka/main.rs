//! The contract of brokers on Kafka, and what is Kafka's own: on the mock cluster of its client library, which speaks the
//! protocol on real sockets, or on the cluster at `KAFKA_URL` (`host:port`), where topics of the tests are left behind.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod publish;
mod queue;
#[path = "../cases/replayed.rs"]
mod replayed;

use std::{fmt, sync::Arc, time::Duration};

use onceward_reliable_mq::{Broker, Envelope, KafkaBroker, KafkaOptions, KafkaTopics, Message, MessageId};
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A cluster, or a corner of one.
pub struct Space {
    mock: Option<Mock>,
    servers: String,
    prefix: String,
}

impl Space {
    pub fn fresh() -> Self {
        let prefix = format!("{}.", testkit::namespace());
        if let Ok(servers) = std::env::var("KAFKA_URL") {
            return Self { mock: None, servers, prefix };
        }
        let mock = MockCluster::new(3).unwrap();
        Self { servers: mock.bootstrap_servers(), mock: Some(mock), prefix }
    }

    /// For faults, which only the mock cluster has.
    pub fn mocked(&self) -> &Mock {
        self.mock.as_ref().expect("this test is of the mock cluster: leave KAFKA_URL out")
    }

    pub fn is_mocked(&self) -> bool {
        self.mock.is_some()
    }

    pub fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    pub fn servers(&self) -> &str {
        &self.servers
    }

    pub fn options(&self) -> KafkaOptions {
        let options = KafkaOptions::default().with_prefix(&self.prefix);
        match self.mock {
            // It takes no request to create a topic, and makes a group of the older protocol wait for three seconds.
            Some(_) => options.with_topics(KafkaTopics::Automatic).with_property("group.protocol", "consumer"),
            None => options,
        }
    }

    pub fn broker(&self) -> KafkaBroker {
        KafkaBroker::new(&self.servers, self.options()).unwrap()
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("servers", &self.servers).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub fn envelope(topic: &str, text: &str) -> Envelope {
    let id = MessageId::parse(format!("id-{text}")).unwrap();
    Envelope::new(id, Message::to(topic).text(text).unwrap(), 1)
}

async fn make(visibility: Duration) -> (Arc<dyn Broker>, Space) {
    let space = Space::fresh();
    let options = space.options().with_visibility(visibility);
    (Arc::new(KafkaBroker::new(space.servers(), options).unwrap()), space)
}

mod contract {
    use super::make;

    onceward_reliable_mq::conformance!(broker: make);
}

#[test]
fn what_the_inbox_may_have_forgotten_is_parked() {
    onceward_reliable_mq::conformance::block_on(async {
        let space = Space::fresh();
        replayed::a_replay_that_the_inbox_may_have_forgotten_is_parked(Arc::new(space.broker())).await;
    });
}
