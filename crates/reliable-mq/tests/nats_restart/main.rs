//! NATS is killed, stopped and started again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "../cases/restart.rs"]
mod restart;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Envelope, NatsBroker, NatsOptions};
use testkit::{Lent, Service};

use self::restart::{all, envelope, reconnect, subscribed, up};

/// The streams of one test, and the server.
#[derive(Debug)]
pub struct Space {
    prefix: Lent,
    pub service: Service,
}

impl Space {
    pub async fn fresh() -> Self {
        let service = Service::named("nats").await;
        Self { prefix: testkit::nats::prefix().await, service }
    }

    pub fn broker(&self, visibility: Duration) -> Arc<dyn Broker> {
        let options = NatsOptions::default().with_prefix(self.prefix.name()).with_visibility(visibility);
        Arc::new(NatsBroker::new(self.prefix.url(), options.with_reconnect(reconnect())).unwrap())
    }

    /// What it accepts survives its process in any case.
    #[allow(clippy::unused_async, reason = "other servers have to be told")]
    pub async fn harden(&self) {}
}

#[test]
fn a_kill_may_bring_back_what_was_acknowledged_and_takes_nothing_away() {
    block_on(async {
        let mut space = Space::fresh().await;
        let broker = subscribed(&space, Duration::from_secs(2)).await;
        let sent: Vec<Envelope> = (0..20).map(|n| envelope(&n.to_string())).collect();
        broker.publish(&sent).await;
        let mut seen = BTreeSet::new();
        for delivery in broker.receive("queue", 10).await.unwrap() {
            seen.insert(delivery.envelope().id.to_string());
            delivery.ack().await.unwrap();
        }
        space.service.kill().await;
        space.service.start().await;
        up(&*broker).await;
        let rest = all(&*broker).await;
        println!("{} acknowledged, {} came after the kill", seen.len(), rest.len());
        seen.extend(rest);
        assert_eq!(seen, sent.iter().map(|envelope| envelope.id.to_string()).collect());
    });
}
