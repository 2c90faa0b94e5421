//! Stores whose answers get lost, that refuse, or that stop for a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use onceward_backend::{BackendError, ErrorClass};
use onceward_oauth_client::{
    Digest, Error, Failure, FlowStore, Stores, async_trait,
    store::{Entry, MemoryStore},
};
use tokio::sync::Semaphore;

use crate::{
    app::{App, options, qq},
    fixture::Fixture,
};

/// Fails at one of its replacements, counted from 1.
#[derive(Debug)]
struct Flaky {
    store: MemoryStore,
    replacements: Arc<AtomicUsize>,
    fails_at: usize,
    /// Whether the replacement is made all the same, and only the answer is lost.
    made: bool,
}

#[async_trait]
impl FlowStore for Flaky {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        self.store.insert(id, body, ttl).await
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        self.store.load(id).await
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let fails = self.replacements.fetch_add(1, SeqCst) + 1 == self.fails_at;
        if !fails || self.made {
            let replaced = self.store.replace(id, version, body, ttl).await?;
            if !fails {
                return Ok(replaced);
            }
        }
        let class = if self.made { ErrorClass::Unknown } else { ErrorClass::Transient };
        Err(BackendError::new("flaky", class, "this replacement fails"))
    }

    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError> {
        self.store.purge_flows(limit).await
    }
}

fn flaky(fixture: &Fixture, fails_at: usize, made: bool) -> (App, Arc<AtomicUsize>) {
    let store = MemoryStore::new();
    let replacements = Arc::new(AtomicUsize::new(0));
    let mut stores = Stores::new(store.clone());
    let count = Arc::clone(&replacements);
    stores.flows = Arc::new(Flaky { store, replacements: count, fails_at, made });
    // No renewal comes between, so the three replacements are claim, renewal before the last step, and end.
    let calm = options().with_lease(Duration::from_secs(5));
    (App::on(stores, calm, [qq(fixture)]), replacements)
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_found_again() {
    for at in 1..=3 {
        let fixture = Fixture::start().await;
        let (app, replacements) = flaky(&fixture, at, true);
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        let first = app.callback(&callback).await.unwrap();
        let again = app.callback(&callback).await.unwrap();
        assert_eq!((again.bytes, again.replayed), (first.bytes, true), "replacement {at}");
        assert_eq!((fixture.tokens(), app.sessions()), (1, 1));
        assert_eq!(replacements.load(SeqCst), 3);
    }
}

#[tokio::test]
async fn a_write_that_is_refused_loses_no_login() {
    for at in 1..=3 {
        let fixture = Fixture::start().await;
        let (app, _) = flaky(&fixture, at, false);
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        let mut answer = app.callback(&callback).await;
        if at == 1 {
            let refused = answer.unwrap_err();
            assert!(matches!(refused, Error::Backend(_)) && refused.is_retryable(), "{refused}");
            assert_eq!(fixture.tokens(), 0, "nothing was sent without a claim");
            answer = app.callback(&callback).await;
        }
        let first = answer.unwrap();
        assert_eq!(app.callback(&callback).await.unwrap().bytes, first.bytes, "replacement {at}");
        assert_eq!((fixture.tokens(), app.sessions()), (1, 1));
    }
}

/// Stands still while its gate is closed, as for a process that was stopped.
#[derive(Debug)]
struct Frozen(MemoryStore, Arc<Semaphore>);

#[async_trait]
impl FlowStore for Frozen {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        self.0.insert(id, body, ttl).await
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        self.0.load(id).await
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let _open = self.1.acquire().await.unwrap();
        self.0.replace(id, version, body, ttl).await
    }

    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError> {
        self.0.purge_flows(limit).await
    }
}

#[tokio::test]
async fn a_process_that_stood_still_and_lost_its_claim_makes_no_second_session() {
    let fixture = Fixture::start().await;
    let store = MemoryStore::new();
    let gate = Arc::new(Semaphore::new(1));
    let mut stores = Stores::new(store.clone());
    stores.flows = Arc::new(Frozen(store.clone(), Arc::clone(&gate)));
    let slow = App::on(stores, options(), [qq(&fixture)]);
    let quick = App::on(Stores::new(store), options(), [qq(&fixture)]);
    let url = slow.begin("qq").await;
    let (old, fresh) = (fixture.approve(&url, "alice"), fixture.approve(&url, "alice"));
    fixture.close().await;
    let (lost, won, ()) = tokio::join!(
        slow.callback(&old),
        async {
            fixture.arrived(1).await;
            gate.acquire().await.unwrap().forget();
            // Waits for the lease of the process that stands still, then takes the login over.
            quick.callback_as(Some(&slow.browser), &fresh).await
        },
        async {
            // Both codes are at the provider now; the first process wakes up while the second is at it.
            fixture.arrived(2).await;
            gate.add_permits(1);
            fixture.open();
        }
    );
    assert!(matches!(lost, Err(Error::Provider(Failure::Interrupted))), "{lost:?}");
    assert_eq!(won.unwrap().bytes, b"session 1 of OPENID-alice");
    assert_eq!((slow.sessions(), quick.sessions()), (0, 1));
}
