//! A store whose answers get lost, and that tells who writes, so that lanes are read from a low water on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onceward_backend::{BackendError, ErrorClass, RetryPolicy, conformance::block_on};
use onceward_reliable_mq::{
    Error, History, MemoryStore, Message, MessageId, Outcome, Relay, RelayInfo, Store, async_trait,
    store::{Budget, Due, Fetched, Lease, Queued, Reach, Settled, StoreCapabilities, Verdict, Writers},
};
use tokio::sync::Notify;

use crate::{
    double::{Double, rejected},
    message, options,
};

#[derive(Debug)]
struct Forgetful {
    store: MemoryStore,
    /// The next settle takes effect, and says that it is not known whether it did.
    loses: AtomicBool,
}

#[async_trait]
impl Store for Forgetful {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    fn arrivals(&self) -> Arc<Notify> {
        self.store.arrivals()
    }

    async fn enqueue(&self, messages: &[Message]) -> Result<Vec<MessageId>, Error> {
        self.store.enqueue(messages).await
    }

    async fn lease(&self, lane: u32, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        self.store.lease(lane, owner, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, Error> {
        self.store.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.store.release(lease).await
    }

    async fn heartbeat(&self, owner: &str, ttl: Duration) -> Result<(), Error> {
        self.store.heartbeat(owner, ttl).await
    }

    async fn leave(&self, owner: &str) -> Result<(), Error> {
        self.store.leave(owner).await
    }

    async fn relays(&self) -> Result<Vec<RelayInfo>, Error> {
        self.store.relays().await
    }

    async fn fetch(&self, from: &[Reach], budget: Budget) -> Result<Fetched, Error> {
        self.store.fetch(from, budget).await
    }

    async fn writers(&self) -> Result<Option<Writers>, Error> {
        Ok(Some(Writers::new()))
    }

    async fn due(&self, leases: &[Lease], budget: Budget) -> Result<Due, Error> {
        self.store.due(leases, budget).await
    }

    async fn settle(
        &self,
        leases: &[Lease],
        history: History,
        settled: &[(&Queued, Verdict)],
    ) -> Result<Settled, Error> {
        let done = self.store.settle(leases, history, settled).await?;
        if !settled.is_empty() && self.loses.swap(false, Ordering::SeqCst) {
            return Err(BackendError::new("it", ErrorClass::Unknown, std::io::Error::other("on purpose")).into());
        }
        Ok(done)
    }
}

#[test]
fn a_key_goes_on_in_order_when_the_answer_about_its_retry_is_lost() {
    block_on(async {
        let store = Arc::new(Forgetful { store: MemoryStore::new(), loses: AtomicBool::new(false) });
        let broker =
            Double::new(
                |envelope, tries| {
                    if tries == 1 && envelope.header("fails").is_some() { rejected() } else { Outcome::Accepted }
                },
            );
        let hour = Duration::from_secs(3600);
        let retry = RetryPolicy::exponential().with_base(hour).with_max(hour).with_attempts(3);
        let options = options(3).with_retry(retry);
        let relay = Relay::new(Arc::clone(&store) as Arc<dyn Store>, broker.clone(), options).unwrap();
        let failing = Message::to("topic").key("k").header("fails", "").text("1").unwrap();
        let id = store.enqueue(&[failing, message(Some("k"), "2")]).await.unwrap().remove(0);
        // Meanwhile the low water rises above what waits behind the retry.
        for n in 0..6 {
            store.enqueue(&[message(Some("other"), &format!("other {n}"))]).await.unwrap();
            relay.step().await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        store.store.resend(&id).await.unwrap();
        store.loses.store(true, Ordering::SeqCst);
        assert!(relay.step().await.is_err());
        store.enqueue(&[message(Some("k"), "3")]).await.unwrap();
        relay.step().await.unwrap();
        let of_key: Vec<String> = broker.texts().into_iter().filter(|text| !text.starts_with("other")).collect();
        assert_eq!(of_key, ["1", "2", "3"]);
    });
}
