//! What a jump of the clock does. There is one clock: the database's. No process compares it with its own.

use std::time::Duration;

use onceward_reliable_mq::{
    Message, Outbox, Store,
    store::{Budget, Lease},
};
use testkit::Lent;

use crate::clock::Clock;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3600 * 1_000_000;

/// An outbox in a fresh database, with a clock that can be set.
async fn outbox<D: Clock>(database: &Lent) -> Outbox<D> {
    D::install(database.url()).await;
    let outbox = Outbox::<D>::new(D::sessions().connect(database.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox
}

async fn jump<D: Clock>(outbox: &Outbox<D>, micros: i64) {
    D::jump(outbox.pool(), micros).await;
}

/// Forward: whoever has a lane has lost it, and knows so before he writes anything.
pub async fn forward_ends_leases<D: Clock>(database: Lent) {
    let outbox = outbox::<D>(&database).await;
    let store = outbox.store();
    let first = lease(&*store, "first").await.unwrap();
    assert_eq!(lease(&*store, "second").await, None);
    jump(&outbox, DAY).await;
    let second = lease(&*store, "second").await.unwrap();
    assert!(second.epoch > first.epoch);
    assert!(!store.renew(&first, MINUTE).await.unwrap());
    assert_eq!(lease(&*store, "first").await, None, "a lease of now, not of yesterday");
}

/// Back: the living go on, and what they renew lasts as long as it should; the dead are waited for longer by the jump.
pub async fn back_prolongs_the_leases_of_the_dead<D: Clock>(database: Lent) {
    let outbox = outbox::<D>(&database).await;
    let store = outbox.store();
    let alive = lease(&*store, "alive").await.unwrap();
    jump(&outbox, -DAY).await;
    assert!(store.renew(&alive, MINUTE).await.unwrap());
    jump(&outbox, 2 * micros(MINUTE)).await;
    let dead = lease(&*store, "dead").await.expect("renewed for a minute from then, and not from before the jump");

    jump(&outbox, -DAY).await;
    jump(&outbox, 2 * micros(MINUTE)).await;
    assert_eq!(lease(&*store, "other").await, None);
    // Those who know that it is dead need not wait.
    store.release(&dead).await.unwrap();
    assert!(lease(&*store, "other").await.is_some());
}

/// What waits for its time waits by that clock alone.
pub async fn what_waits_is_due_by_the_clock_of_the_database<D: Clock>(database: Lent) {
    let outbox = outbox::<D>(&database).await;
    let store = outbox.store();
    let id = store.enqueue(&[Message::to("topic").delay(MINUTE).text("").unwrap()]).await.unwrap().remove(0);
    let due = async || {
        let mut leases = Vec::new();
        for lane in 0..store.capabilities().lanes {
            leases.extend(store.lease(lane, "relay", MINUTE).await.unwrap());
        }
        let ready = store.due(&leases, Budget { messages: 10, bytes: 1024 }).await.unwrap().ready;
        ready.into_iter().map(|queued| queued.envelope.id).collect::<Vec<_>>()
    };
    assert_eq!(due().await, []);
    jump(&outbox, -DAY).await;
    assert_eq!(due().await, []);
    jump(&outbox, DAY).await;
    assert_eq!(due().await, [], "a minute of that clock has not passed");
    jump(&outbox, 2 * micros(MINUTE)).await;
    assert_eq!(due().await, [id]);
}

async fn lease(store: &dyn Store, owner: &str) -> Option<Lease> {
    store.lease(0, owner, MINUTE).await.unwrap()
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap()
}
