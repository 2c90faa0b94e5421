//! What the relay promises, with a broker that misbehaves as told.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::clone_on_ref_ptr,
    missing_docs,
    unreachable_pub,
    reason = "a test program"
)]

mod double;
mod failures;
mod lost_answer;
mod order;
mod outage;
mod run;
mod sharing;
#[path = "../cases/sharing.rs"]
mod sharing_cases;

use std::{sync::Arc, time::Duration};

use onceward_backend::{RetryPolicy, sqlite, sqlx::Sqlite};
use onceward_reliable_mq::{MemoryStore, Message, Outbox, RelayOptions, Status, Store};
use tempfile::TempDir;

/// The stores that every promise is tested on.
async fn stores() -> Vec<(Arc<dyn Store>, Option<TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::<Sqlite>::new(sqlite::open(folder.path().join("service.db")).await.unwrap());
    outbox.migrate().await.unwrap();
    let memory: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::with_lanes(4))];
    let mut stores: Vec<_> = memory.into_iter().map(|store| (store, None)).collect();
    stores.push((outbox.store(), Some(folder)));
    stores
}

/// Retries at once, so that a test drives the relay by its steps.
fn options(attempts: u32) -> RelayOptions {
    let at_once = RetryPolicy::exponential().with_base(Duration::ZERO);
    RelayOptions::default()
        .with_retry(at_once.with_attempts(attempts))
        .with_outage(at_once.with_attempts(u32::MAX))
        .with_poll(Duration::from_millis(10))
}

fn message(key: Option<&str>, text: &str) -> Message {
    let draft = Message::to("topic");
    key.map_or_else(|| draft.clone(), |key| draft.clone().key(key)).text(text).unwrap()
}

async fn statuses(store: &Arc<dyn Store>) -> Vec<(Status, u32)> {
    store.log(1000).await.unwrap().iter().map(|row| (row.status, row.attempts)).collect()
}
