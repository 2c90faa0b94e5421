//! The contract of brokers on Redis, and what only a real server can show.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod faults;
mod publish;
mod queue;
#[path = "../cases/replayed.rs"]
mod replayed;
#[path = "../cases/stored.rs"]
mod stored;
#[path = "../cases/wire.rs"]
mod wire;

use std::{sync::Arc, time::Duration};

use onceward_backend::redis::{Client, Cmd, FromRedisValue};
use onceward_reliable_mq::{Broker, Envelope, Message, MessageId, RedisBroker, RedisOptions};
use testkit::redis::Prefix;

/// The keys of one test; they go with everything in them.
#[derive(Debug)]
pub struct Space {
    prefix: Prefix,
}

impl Space {
    /// Of an acknowledgement on the wire.
    pub const ACK: &[u8] = b"EVALSHA";

    #[allow(clippy::unused_async, reason = "other brokers ask their server for a space")]
    pub async fn fresh() -> Self {
        Self { prefix: testkit::redis::prefix() }
    }

    pub fn url(&self) -> &str {
        self.prefix.url()
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions::default().with_prefix(self.prefix.as_str())
    }

    pub fn broker(&self) -> RedisBroker {
        RedisBroker::new(self.url(), self.options()).unwrap()
    }

    pub fn broker_at(&self, url: &str) -> Arc<dyn Broker> {
        Arc::new(RedisBroker::new(url, self.options()).unwrap())
    }

    /// One command past the broker, for what it does not do.
    pub async fn bare<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let client = Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }

    pub fn key(&self, rest: &str) -> String {
        format!("{}{{mq}}:{rest}", self.prefix.as_str())
    }

    /// The keys that there are, without those of marks.
    pub async fn keys(&self) -> Vec<String> {
        let mut scan = onceward_backend::redis::cmd("KEYS");
        let keys: Vec<String> = self.bare(scan.arg(format!("{}*", self.prefix.as_str()))).await;
        let mut keys: Vec<String> = keys.into_iter().filter(|key| !key.contains(":seen:")).collect();
        keys.sort();
        keys
    }
}

pub fn envelope(topic: &str, text: &str) -> Envelope {
    let id = MessageId::parse(format!("id-{text}")).unwrap();
    Envelope::new(id, Message::to(topic).text(text).unwrap(), 1)
}

async fn make(visibility: Duration) -> (Arc<dyn Broker>, Space) {
    let space = Space::fresh().await;
    (Arc::new(RedisBroker::new(space.url(), space.options().with_visibility(visibility)).unwrap()), space)
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
