//! A broker that is silent as a whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{
    Broker, BrokerCapabilities, Delivery, Durability, Envelope, Error, Health, Outcome, Relay, Status, Subscription,
    async_trait,
};

use crate::{
    double::{Double, unknown},
    message, options, statuses, stores,
};

#[test]
fn an_outage_longer_than_the_budget_loses_nothing_and_spends_nothing() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::accepting();
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(3)).unwrap();
            store.enqueue(&[message(Some("k"), "a"), message(Some("k"), "b"), message(None, "c")]).await.unwrap();
            broker.set_down(true);
            for _ in 0..20 {
                relay.step().await.unwrap();
            }
            assert_eq!(statuses(&store).await, [(Status::Pending, 0); 3]);
            broker.set_down(false);
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(statuses(&store).await, [(Status::Sent, 1); 3]);
            assert_eq!(broker.accepted().len(), 3);
        }
    });
}

#[test]
fn an_outage_that_ends_between_a_publish_and_the_probe_spends_nothing() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::accepting();
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(3)).unwrap();
            store.enqueue(&[message(Some("k"), "a"), message(None, "b")]).await.unwrap();
            broker.set_down(true);
            for _ in 0..20 {
                relay.step().await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            broker.come_back_at_the_next_probe();
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(statuses(&store).await, [(Status::Sent, 1); 2]);
        }
    });
}

#[test]
fn an_outage_in_the_middle_of_retries_spends_nothing_either() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::new(|_, tries| if tries == 1 { crate::double::rejected() } else { Outcome::Accepted });
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(3)).unwrap();
            store.enqueue(&[message(Some("k"), "a")]).await.unwrap();
            relay.step().await.unwrap();
            broker.set_down(true);
            for _ in 0..20 {
                relay.step().await.unwrap();
            }
            assert_eq!(statuses(&store).await, [(Status::Failed, 1)]);
            broker.set_down(false);
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(statuses(&store).await, [(Status::Sent, 2)]);
        }
    });
}

#[test]
fn a_message_that_never_gets_an_answer_ends_among_the_dead_and_lets_others_pass() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker =
                Double::new(|envelope, _| if envelope.key() == Some("mute") { unknown() } else { Outcome::Accepted });
            let relay = Relay::new(Arc::clone(&store), broker.clone(), options(3)).unwrap();
            store.enqueue(&[message(Some("mute"), "a")]).await.unwrap();
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(store.dead(10).await.unwrap().len(), 1);
            store.enqueue(&[message(Some("mute"), "b"), message(Some("other"), "c")]).await.unwrap();
            relay.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(broker.texts(), ["c"]);
        }
    });
}

/// Takes everything and answers too little, or nothing at all.
#[derive(Debug, Default)]
struct Taciturn {
    hang: bool,
    calls: AtomicUsize,
}

#[async_trait]
impl Broker for Taciturn {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(Durability::Stored)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call > 0 {
            return vec![Outcome::Accepted; batch.len()];
        }
        if self.hang {
            std::future::pending::<()>().await;
        }
        vec![Outcome::Accepted]
    }

    async fn health(&self) -> Health {
        Health::Up
    }

    async fn subscribe(&self, _: &Subscription) -> Result<(), Error> {
        Ok(())
    }

    async fn routes(&self, _: &str) -> Result<bool, Error> {
        Ok(true)
    }

    async fn receive(&self, _: &str, _: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        Ok(Vec::new())
    }
}

#[test]
fn an_outcome_that_is_missing_is_never_taken_for_accepted() {
    block_on(async {
        let (store, _guard) = stores().await.remove(0);
        let relay = Relay::new(Arc::clone(&store), Arc::new(Taciturn::default()), options(12)).unwrap();
        store.enqueue(&[message(None, "a"), message(None, "b"), message(None, "c")]).await.unwrap();
        let step = relay.step().await.unwrap();
        assert_eq!((step.sent, step.retried), (1, 2));
        relay.drain(Duration::from_secs(10)).await.unwrap();
        assert!(store.counts().await.unwrap().is_empty());
    });
}

#[test]
fn a_broker_that_hangs_is_given_up_after_the_time_out() {
    block_on(async {
        let (store, _guard) = stores().await.remove(0);
        let broker = Arc::new(Taciturn { hang: true, ..Taciturn::default() });
        let options = options(12).with_publish_timeout(Duration::from_millis(30));
        let relay = Relay::new(Arc::clone(&store), broker, options).unwrap();
        store.enqueue(&[message(None, "a")]).await.unwrap();
        relay.step().await.unwrap();
        assert_eq!(statuses(&store).await, [(Status::Pending, 0)], "silence is an outage first");
        relay.drain(Duration::from_secs(10)).await.unwrap();
        assert_eq!(statuses(&store).await, [(Status::Sent, 1)]);
    });
}
