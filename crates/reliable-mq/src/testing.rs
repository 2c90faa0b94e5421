//! For the tests of your services: what they have enqueued, and their messages sent without a wait.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use onceward_backend::sqlx::Sqlite;
//! use onceward_reliable_mq::{
//!     Broker, MemoryBroker, Message, MessageFilter, Outbox, Relay, RelayOptions, Subscription, testing,
//! };
//!
//! # onceward_backend::conformance::block_on(async {
//! let outbox = Outbox::<Sqlite>::new(onceward_backend::sqlite::memory().await?);
//! outbox.migrate().await?;
//! # async fn confirm_order(outbox: &Outbox<Sqlite>) -> Result<(), onceward_reliable_mq::Error> {
//! #     let message = Message::to("orders.confirmed").key("order-7").tenant("acme").json(&7)?;
//! #     outbox.transaction(async |mut tx| outbox.enqueue(&mut tx, &message).await).await.map(drop)
//! # }
//! confirm_order(&outbox).await?; // your code
//!
//! let store = outbox.store();
//! let confirmed = MessageFilter::default().with_topic("orders.confirmed").with_key("order-7");
//! let message = testing::assert_enqueued(&*store, &confirmed).await;
//! assert_eq!((message.json::<i64>()?, message.tenant()), (7, Some("acme")));
//! testing::assert_nothing_enqueued(&*store, &MessageFilter::default().with_topic("orders.cancelled")).await;
//!
//! let broker = Arc::new(MemoryBroker::new());
//! broker.subscribe(&Subscription::new("mailer").topic("orders.confirmed")).await?;
//! let relay = Relay::new(outbox.store(), broker, RelayOptions::default().with_allow_volatile(true))?;
//! assert_eq!(testing::drain_due(&relay, 10).await.sent, 1);
//! testing::assert_nothing_enqueued(&*store, &confirmed).await;
//! # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

use std::{fmt::Write, panic::Location, time::Duration};

use crate::{
    Error,
    message::Envelope,
    relay::{Relay, Step},
    store::{MessageFilter, Store},
};

/// The one message that the filter means, with what it says. What is not committed yet is not there.
///
/// # Panics
/// If it is none or several, saying where each message stands that was not sent; if the store fails.
#[track_caller]
pub fn assert_enqueued(store: &dyn Store, filter: &MessageFilter) -> impl Future<Output = Envelope> {
    let caller = Location::caller();
    async move {
        let found = ok(store.messages(filter).await, caller);
        let [one] = found.as_slice() else {
            panic!("{caller}: {} messages and not one of {filter:?}; {}", found.len(), standing(store, caller).await)
        };
        let whole = ok(store.message(&one.message_id).await, caller);
        whole.unwrap_or_else(|| panic!("{caller}: of {} nothing is kept but that it was sent", one.message_id))
    }
}

/// The filter means no message.
///
/// # Panics
/// If it means any, saying where each message stands that was not sent; if the store fails.
#[track_caller]
pub fn assert_nothing_enqueued(store: &dyn Store, filter: &MessageFilter) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let found = ok(store.messages(filter).await, caller);
        if !found.is_empty() {
            panic!("{caller}: {} messages and not none of {filter:?}; {}", found.len(), standing(store, caller).await);
        }
    }
}

/// Lets the relay send what is due now, in at most `rounds` rounds, and give its lanes back; answers what it did. Other than
/// [`Relay::drain`] it waits for no retry and no delay; of a broker that cannot be reached it comes back at once.
///
/// # Panics
/// If there is still something due after that many rounds; if the store fails.
#[track_caller]
pub fn drain_due(relay: &Relay, rounds: u32) -> impl Future<Output = Step> {
    let caller = Location::caller();
    async move {
        let mut all = Step::default();
        for _ in 0..rounds {
            let step = ok(relay.step().await, caller);
            all.add(step);
            if step.sent + step.retried + step.dead == 0 {
                ok(relay.drain(Duration::ZERO).await, caller);
                return all;
            }
        }
        panic!("{caller}: there is still something due after {rounds} rounds: {all:?}");
    }
}

/// Where each message stands that was not sent, without what it says.
async fn standing(store: &dyn Store, caller: &Location<'_>) -> String {
    let messages = ok(store.messages(&MessageFilter::default().with_limit(SHOWN)).await, caller);
    if messages.is_empty() {
        return "the outbox is empty".to_owned();
    }
    let mut text = "in the outbox:".to_owned();
    for shown in messages {
        let (id, status) = (&shown.message_id, shown.status.as_str());
        let key = shown.key.map_or_else(String::new, |key| format!(", key {key}"));
        let error =
            shown.last_error.map_or_else(String::new, |error| format!(", {} attempts: {error}", shown.attempts));
        let _ = write!(text, "\n  {id}: {}{key}, {status}{error}", shown.topic);
    }
    text
}

const SHOWN: usize = 20;

fn ok<T>(result: Result<T, Error>, caller: &Location<'_>) -> T {
    result.unwrap_or_else(|error| panic!("{caller}: the store fails: {error}"))
}
