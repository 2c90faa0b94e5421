//! Redis is killed, stopped, started again, and out of memory, disk or rights.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod refuses;
#[path = "../cases/restart.rs"]
mod restart;

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    conformance::block_on,
    redis::{Client, Cmd, FromRedisValue, cmd},
};
use onceward_reliable_mq::{Broker, Durability, Envelope, Health, Outcome, RedisBroker, RedisOptions, Subscription};
use testkit::{Service, redis::Prefix};

use self::restart::{WHILE, all, envelope, reconnect, subscribed, up};

/// The keys of one test, and the server. It gets its settings back at the end: other programs use it too.
#[derive(Debug)]
pub struct Space {
    prefix: Prefix,
    pub service: Service,
}

impl Space {
    pub async fn fresh() -> Self {
        let service = Service::named("redis").await;
        Self { prefix: testkit::redis::prefix(), service }
    }

    /// The name of a key of this test.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix.as_str())
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions::default().with_prefix(self.prefix.as_str()).with_reconnect(reconnect())
    }

    pub fn broker(&self, visibility: Duration) -> Arc<dyn Broker> {
        Arc::new(RedisBroker::new(self.prefix.url(), self.options().with_visibility(visibility)).unwrap())
    }

    /// With a sync every second a server may answer up to two seconds before it writes, when its disk is slow.
    pub async fn harden(&self) {
        set("appendfsync", "always").await;
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let settings = ["appendfsync", "everysec", "maxmemory", "0", "min-replicas-to-write", "0", "save", ""];
        let restore = Client::open(self.prefix.url()).and_then(|client| {
            let mut connection = client.get_connection()?;
            cmd("REPLICAOF").arg("NO").arg("ONE").query::<()>(&mut connection)?;
            cmd("CONFIG").arg("SET").arg(&settings).query::<()>(&mut connection)
        });
        if let Err(error) = restore {
            // Halted, most likely: it starts with its own settings then.
            eprintln!("the settings of Redis: {error}");
        }
    }
}

/// One command past the broker.
async fn bare<T: FromRedisValue>(command: &Cmd) -> T {
    let client = Client::open(testkit::url("REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

async fn set(name: &str, value: &str) {
    bare(cmd("CONFIG").arg("SET").arg(name).arg(value)).await
}

#[test]
fn what_was_settled_before_a_kill_stays_settled_and_what_was_in_hand_may_be_settled_after_it() {
    block_on(async {
        let mut space = Space::fresh().await;
        space.harden().await;
        let broker = subscribed(&space, WHILE).await;
        let sent: Vec<Envelope> = (0..20).map(|n| envelope(&n.to_string())).collect();
        broker.publish(&sent).await;
        let mut held = broker.receive("queue", 10).await.unwrap();
        let (cut, late) = (held.pop().unwrap(), held.pop().unwrap());
        for delivery in held {
            delivery.ack().await.unwrap();
        }
        space.service.kill().await;
        assert!(cut.ack().await.is_err());
        space.service.start().await;
        up(&*broker).await;
        late.ack().await.unwrap();
        assert_eq!(broker.publish(&sent[..1]).await, [Outcome::Accepted], "a repeat, and known as one");
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.ready, depth.leased), (10, 1), "the other waits for the end of its lease");
        let rest = broker.receive("queue", 20).await.unwrap();
        assert!(rest.iter().map(|delivery| delivery.envelope()).eq(&sent[10..]));
    });
}

#[test]
fn a_server_that_came_back_with_weaker_settings_is_not_used() {
    block_on(async {
        let mut space = Space::fresh().await;
        space.harden().await;
        let options = space.options().with_durability(Durability::Fsynced);
        let broker = RedisBroker::new(space.prefix.url(), options).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        assert_eq!(broker.publish(&[envelope("a")]).await, [Outcome::Accepted]);
        space.service.kill().await;
        space.service.start().await;
        testkit::eventually(WHILE, async || match broker.health().await {
            Health::Blocked(why) if why.contains("appendfsync is \"everysec\"") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        let outcomes = broker.publish(&[envelope("b")]).await;
        assert!(matches!(outcomes[0], Outcome::Unknown { .. }), "{outcomes:?}");
        space.harden().await;
        up(&broker).await;
        assert_eq!(all(&broker).await.into_iter().collect::<Vec<_>>(), ["id-a"], "accepted; the other was not sent");
        assert_eq!(broker.publish(&[envelope("b")]).await, [Outcome::Accepted]);
    });
}
