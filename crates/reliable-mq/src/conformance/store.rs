//! The clauses of [`Store`]. Each function is one test; `make` answers an empty store and what keeps it alive.
#![allow(missing_docs, reason = "the names say it; they are what the test output shows")]

mod failures;
mod leases;
mod operators;
mod sharing;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinSet;

pub use self::failures::{
    a_dead_letter_is_listed_and_replayed_under_its_id, a_dead_message_does_not_block_its_key,
    a_failed_row_is_in_the_log_and_is_sent_again, a_failing_key_blocks_only_itself,
    a_relay_without_its_lease_writes_no_failures, a_released_key_lets_the_next_pass,
    a_replay_beyond_the_inboxes_memory_is_refused, a_replayed_message_says_on_what_assumption,
};
pub use self::leases::{
    a_lease_ends_by_itself_and_its_epoch_grows, a_process_of_the_same_name_takes_over_at_once, a_released_lane_is_free,
    of_32_relays_one_gets_the_lane,
};
pub use self::operators::{
    a_paused_topic_waits_and_goes_on_in_order, a_resent_message_is_due_at_once_with_its_attempts,
    dead_letters_are_purged_in_bounds, lanes_and_topics_tell_who_works_and_what_waits,
    messages_are_found_by_what_they_are_like,
};
pub use self::sharing::{
    a_relay_lives_as_long_as_it_says, a_relay_with_a_lane_lives, of_32_relays_that_come_at_once_each_is_seen,
};
use super::{eventually, keyed, message, ok, text};
use crate::{
    Message, MessageId, Status, Store,
    store::{Budget, History, Lease, Place, Queued, Reach, Settled, Verdict},
};

const LONG: Duration = Duration::from_secs(60);
const MANY: Budget = Budget { messages: 1000, bytes: usize::MAX };

type Made<G> = (Arc<dyn Store>, G);

/// A relay that has all lanes.
struct Relay {
    store: Arc<dyn Store>,
    leases: Vec<Lease>,
}

impl Relay {
    async fn named(store: &Arc<dyn Store>, owner: &str) -> Self {
        let mut leases = Vec::new();
        for lane in 0..store.capabilities().lanes {
            leases.extend(ok(store.lease(lane, owner, LONG).await));
        }
        Self { store: Arc::clone(store), leases }
    }

    async fn of(store: &Arc<dyn Store>) -> Self {
        Self::named(store, "relay").await
    }

    fn whole(&self) -> Vec<Reach> {
        self.leases.iter().map(|lease| Reach { lease: lease.clone(), after: 0 }).collect()
    }

    async fn fetch(&self) -> Vec<Queued> {
        ok(self.store.fetch(&self.whole(), MANY).await).queued
    }

    async fn due(&self) -> Vec<Queued> {
        ok(self.store.due(&self.leases, MANY).await).ready
    }

    async fn settle(&self, queued: &Queued, verdict: Verdict) -> Settled {
        self.settle_all(History::Rows, &[(queued, verdict)]).await
    }

    async fn settle_all(&self, history: History, settled: &[(&Queued, Verdict)]) -> Settled {
        ok(self.store.settle(&self.leases, history, settled).await)
    }

    async fn texts(&self) -> Vec<String> {
        self.fetch().await.iter().map(|queued| text(&queued.envelope)).collect()
    }
}

fn retry(after: Duration) -> Verdict {
    Verdict::Retry { after, error: "on purpose".to_owned(), blocks: true }
}

fn dead() -> Verdict {
    Verdict::Dead { error: "on purpose".to_owned() }
}

async fn enqueue(store: &Arc<dyn Store>, message: Message) -> MessageId {
    ok(store.enqueue(&[message]).await).remove(0)
}

async fn status(store: &Arc<dyn Store>, id: &MessageId) -> Option<(Status, u32, Option<String>)> {
    let mut rows = ok(store.log(1000).await);
    rows.retain(|row| row.message_id == *id);
    assert!(rows.len() <= 1, "one message stands in one place: {rows:?}");
    rows.pop().map(|row| (row.status, row.attempts, row.last_error))
}

pub async fn a_message_is_fetched_as_it_was_enqueued<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let full = ok(Message::to("a.topic").key("k/1").header("ünï", "wört 🦀").header("b", "").payload(bytes.clone()));
    let empty = ok(Message::to("a.topic").payload(Vec::new()));
    let ids = ok(store.enqueue(&[full.clone(), empty]).await);
    let mut fetched = Relay::of(&store).await.fetch().await;
    fetched.sort_by_key(|queued| queued.sequence);
    let (first, second) = (&fetched[0], &fetched[1]);
    assert_eq!(*first.envelope.message, full);
    assert_eq!((&first.envelope.id, first.place, first.attempts), (&ids[0], Place::Hot, 0));
    assert_eq!(first.envelope.origin.map(|origin| origin.sequence), Some(first.sequence));
    assert!(first.envelope.enqueued_at > 1_700_000_000_000_000, "microseconds since the epoch");
    assert_eq!((second.envelope.key(), second.envelope.headers().len(), second.envelope.payload().len()), (None, 0, 0));
}

pub async fn a_batch_keeps_its_order<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let batch: Vec<Message> = (0..50).map(|n| keyed("k", &n.to_string())).collect();
    ok(store.enqueue(&batch).await);
    let relay = Relay::of(&store).await;
    assert_eq!(relay.texts().await, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    let third = relay.fetch().await.remove(2);
    let mut from = relay.whole();
    from.iter_mut().for_each(|reach| reach.after = third.sequence);
    let page = ok(store.fetch(&from, Budget { messages: 2, ..MANY }).await).queued;
    assert_eq!(page.iter().map(|queued| text(&queued.envelope)).collect::<Vec<_>>(), ["3", "4"]);
}

pub async fn a_read_keeps_to_its_budget<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let large = ok(Message::to("topic").key("k").payload(vec![b'x'; 1000]));
    ok(store.enqueue(&vec![large; 10]).await);
    let relay = Relay::of(&store).await;
    for (messages, bytes, expected) in [(1000, 2500, 3), (1000, 2000, 2), (1000, 1, 1), (4, usize::MAX, 4)] {
        let read = ok(store.fetch(&relay.whole(), Budget { messages, bytes }).await).queued;
        assert_eq!(read.len(), expected, "{messages} messages, {bytes} bytes");
        assert!(read.is_sorted_by_key(|queued| queued.sequence));
    }
    assert_eq!(relay.fetch().await.len(), 10, "what did not fit is there the next time");
}

pub async fn lanes_are_read_side_by_side<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let lanes = store.capabilities().lanes;
    let many: Vec<Message> = (0..lanes * 40).map(|n| keyed(&n.to_string(), "")).collect();
    ok(store.enqueue(&many).await);
    let mut relay = Relay::of(&store).await;
    let read = ok(store.fetch(&relay.whole(), Budget { messages: 2, ..MANY }).await).queued;
    let mut places: Vec<u32> = read.iter().map(|queued| queued.lane).collect();
    places.sort_unstable();
    assert_eq!(places, (0..lanes).flat_map(|lane| [lane; 2]).collect::<Vec<_>>(), "the limit is for each lane");
    assert!(read.iter().all(|queued| queued.envelope.origin.is_some_and(|origin| origin.lane == queued.lane)));
    let all = relay.fetch().await.len();
    let first = relay.leases.remove(0);
    let rest = relay.fetch().await;
    assert!(rest.iter().all(|queued| queued.lane != first.lane), "only the lanes that are asked for");
    assert_eq!(all, many.len());
    for queued in &rest {
        assert_eq!(relay.settle(queued, Verdict::Sent).await.done, 1);
    }
    assert!(relay.fetch().await.is_empty());
}

pub async fn a_message_without_its_id_gets_one_and_a_given_id_is_kept<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let mine = ok(MessageId::parse("my-own"));
    let given = enqueue(&store, ok(Message::to("topic").id(mine.clone()).text(""))).await;
    let (a, b) = (enqueue(&store, message("topic", "")).await, enqueue(&store, message("topic", "")).await);
    assert_eq!(given, mine);
    assert!(a != b);
}

pub async fn a_message_that_was_sent_is_forgotten_and_logged<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = enqueue(&store, message("topic", "")).await;
    assert_eq!(status(&store, &id).await, Some((Status::Pending, 0, None)));
    let relay = Relay::of(&store).await;
    let queued = relay.fetch().await.remove(0);
    assert_eq!(relay.settle(&queued, Verdict::Sent).await.done, 1);
    assert!(relay.fetch().await.is_empty());
    assert_eq!(status(&store, &id).await, Some((Status::Sent, 1, None)));
    assert_eq!(ok(store.attempts(&id).await).len(), 1);
}

pub async fn what_is_due_is_read_within_its_budget<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let payload = "x".repeat(100);
    ok(store.enqueue(&(0..6).map(|n| keyed(&n.to_string(), &payload)).collect::<Vec<_>>()).await);
    let relay = Relay::of(&store).await;
    for queued in relay.fetch().await {
        relay.settle(&queued, retry(Duration::ZERO)).await;
    }
    eventually("all are due", async || (relay.due().await.len() == 6).then_some(())).await;
    let within = async |messages, bytes| ok(store.due(&relay.leases, Budget { messages, bytes }).await).ready.len();
    assert_eq!(within(1000, 1).await, 1, "one is given, however large");
    assert_eq!(within(1000, 250).await, 3, "the last one reaches the bytes");
    assert!((1..=6).contains(&within(1, usize::MAX).await));
}

pub async fn history_off_logs_failures_only<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = enqueue(&store, message("topic", "")).await;
    let relay = Relay::of(&store).await;
    let queued = relay.fetch().await.remove(0);
    relay.settle_all(History::Off, &[(&queued, retry(Duration::ZERO))]).await;
    let queued = eventually("it is due", async || relay.due().await.pop()).await;
    relay.settle_all(History::Off, &[(&queued, Verdict::Sent)]).await;
    let attempts: Vec<Status> = ok(store.attempts(&id).await).iter().map(|attempt| attempt.status).collect();
    assert_eq!(attempts, [Status::Failed]);
    assert_eq!(status(&store, &id).await, None);
}

pub async fn history_in_batches_counts_what_was_sent_and_names_what_failed<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.enqueue(&(0..20).map(|n| keyed(&n.to_string(), "")).collect::<Vec<_>>()).await);
    let relay = Relay::of(&store).await;
    let mut fetched = relay.fetch().await;
    let failing = fetched.remove(7);
    let mut settled: Vec<_> = fetched.iter().map(|one| (one, Verdict::Sent)).collect();
    settled.push((&failing, retry(Duration::ZERO)));
    assert_eq!(relay.settle_all(History::Batches, &settled).await.done, 20);
    let batches = ok(store.batches(100).await);
    for batch in &batches {
        let mine = || fetched.iter().filter(|queued| queued.lane == batch.lane).map(|queued| queued.sequence);
        assert_eq!((Some(batch.first), Some(batch.last)), (mine().min(), mine().max()));
        assert_eq!(batch.messages, mine().count() as u64);
    }
    assert_eq!(batches.iter().map(|batch| batch.messages).sum::<u64>(), 19);
    assert_eq!(relay.settle_all(History::Batches, &settled).await.gone, 20);
    assert_eq!(ok(store.batches(100).await).len(), batches.len(), "logged once");
    let again = eventually("it is due", async || relay.due().await.pop()).await;
    relay.settle_all(History::Batches, &[(&again, Verdict::Sent)]).await;
    let attempts: Vec<Status> = ok(store.attempts(&failing.envelope.id).await).iter().map(|one| one.status).collect();
    assert_eq!(attempts, [Status::Failed, Status::Sent], "what had failed is named");
    let purged = eventually("they are old", async || {
        Some(ok(store.purge_history(Duration::ZERO, 100).await)).filter(|purged| *purged > 0)
    })
    .await;
    assert!(purged <= batches.len() as u64 + 2);
}

pub async fn a_paused_relay_never_deletes_a_newer_message<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    enqueue(&store, keyed("k", "old")).await;
    let paused = Relay::named(&store, "r").await;
    let old = paused.fetch().await.remove(0);
    let other = Relay::named(&store, "r").await;
    other.settle(&other.fetch().await.remove(0), Verdict::Sent).await;
    // The lane is empty now. A store that gives the last id again would give it to this one.
    enqueue(&store, keyed("k", "new")).await;
    assert_eq!(paused.settle(&old, Verdict::Sent).await.gone, 1);
    assert_eq!(other.texts().await, ["new"]);
    let mut other_id = other.fetch().await.remove(0);
    assert!(other_id.sequence > old.sequence, "a place in the lane is never given twice");
    other_id.envelope.id = ok(MessageId::parse("another"));
    assert_eq!(other.settle(&other_id, Verdict::Sent).await.gone, 1, "the id has to match too");
    assert_eq!(other.texts().await, ["new"]);
}

pub async fn a_settle_twice_counts_once<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = enqueue(&store, message("topic", "")).await;
    let relay = Relay::of(&store).await;
    let queued = relay.fetch().await.remove(0);
    let (first, second) = (relay.settle(&queued, Verdict::Sent).await, relay.settle(&queued, Verdict::Sent).await);
    assert_eq!((first.done, first.gone, second.done, second.gone), (1, 0, 0, 1));
    assert_eq!(ok(store.attempts(&id).await).len(), 1, "logged once");
}

pub async fn of_32_settles_of_one_batch_each_message_counts_once<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let ids = ok(store.enqueue(&vec![keyed("k", ""); 50]).await);
    let relay = Relay::of(&store).await;
    let fetched = relay.fetch().await;
    let mut settles = JoinSet::new();
    for _ in 0..32 {
        let (store, batch, leases) = (Arc::clone(&store), fetched.clone(), relay.leases.clone());
        settles.spawn(async move {
            let sent: Vec<_> = batch.iter().map(|queued| (queued, Verdict::Sent)).collect();
            ok(store.settle(&leases, History::Rows, &sent).await).done
        });
    }
    assert_eq!(settles.join_all().await.into_iter().sum::<usize>(), 50);
    for id in ids {
        assert_eq!(ok(store.attempts(&id).await).len(), 1, "logged once");
    }
}

pub async fn a_delayed_message_waits_for_its_time<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let later = ok(Message::to("topic").key("k").delay(Duration::from_millis(150)).text("later"));
    let id = enqueue(&store, later).await;
    enqueue(&store, keyed("k", "now")).await;
    let relay = Relay::of(&store).await;
    assert_eq!(relay.texts().await, ["now"], "a delayed message blocks nobody");
    assert_eq!(status(&store, &id).await, Some((Status::Delayed, 0, None)));
    let queued = eventually("it is due", async || relay.due().await.pop()).await;
    assert_eq!((&queued.envelope.id, queued.attempts, queued.envelope.origin), (&id, 0, None));
    relay.settle(&queued, Verdict::Sent).await;
    assert!(relay.due().await.is_empty());
}

pub async fn the_same_id_twice_never_stops_a_lane<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = ok(MessageId::parse("twice"));
    for _ in 0..2 {
        enqueue(&store, ok(Message::to("topic").key("k").id(id.clone()).text(""))).await;
    }
    let relay = Relay::of(&store).await;
    for queued in relay.fetch().await {
        relay.settle(&queued, retry(Duration::ZERO)).await;
    }
    assert!(relay.fetch().await.is_empty());
    relay.settle(&eventually("it is due", async || relay.due().await.pop()).await, Verdict::Sent).await;
    assert!(ok(store.counts().await).is_empty());
}

pub async fn counts_tell_what_waits_where<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let counts = ok(store.counts().await);
    assert!(counts.is_empty() && counts.oldest.is_none());
    ok(store.enqueue(&[message("topic", "a"), message("topic", "b"), message("topic", "c")]).await);
    enqueue(&store, ok(Message::to("topic").delay(LONG).text(""))).await;
    let relay = Relay::of(&store).await;
    let mut fetched = relay.fetch().await;
    relay.settle(&fetched.remove(0), retry(LONG)).await;
    relay.settle(&fetched.remove(0), dead()).await;
    let counts = ok(store.counts().await);
    assert_eq!((counts.hot, counts.delayed, counts.failed, counts.held, counts.dead), (1, 2, 1, 0, 1));
    assert!(counts.oldest.is_some() && !counts.is_empty());
}

pub async fn nothing_of_32_producers_is_lost_and_keys_keep_their_order<G>(make: impl AsyncFn() -> Made<G>) {
    const EACH: usize = 20;
    let (store, _guard) = make().await;
    let mut producers = JoinSet::new();
    for producer in 0..32 {
        let store = Arc::clone(&store);
        producers.spawn(async move {
            for n in 0..EACH {
                enqueue(&store, keyed(&format!("k{producer}"), &n.to_string())).await;
            }
        });
    }
    let relay = Relay::of(&store).await;
    let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    loop {
        let done = producers.is_empty();
        for queued in relay.fetch().await {
            let key = queued.envelope.key().unwrap_or_default().to_owned();
            seen.entry(key).or_default().push(ok(text(&queued.envelope).parse()));
            assert_eq!(relay.settle(&queued, Verdict::Sent).await.done, 1);
        }
        if done {
            break;
        }
        while let Some(joined) = producers.try_join_next() {
            ok(joined);
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen.len(), 32);
    for (key, order) in seen {
        assert_eq!(order, (0..EACH).collect::<Vec<_>>(), "{key}");
    }
}

pub async fn the_log_is_purged_in_bounds<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let relay = Relay::of(&store).await;
    for n in 0..5 {
        enqueue(&store, message("topic", &n.to_string())).await;
        relay.settle(&relay.fetch().await.remove(0), Verdict::Sent).await;
    }
    assert_eq!(ok(store.purge_history(LONG, 10).await), 0, "they are younger than that");
    let purged =
        eventually("they are old", async || Some(ok(store.purge_history(Duration::ZERO, 2).await)).filter(|n| *n > 0))
            .await;
    assert!(purged <= 2, "{purged}");
    let mut rest = 5 - purged;
    while rest > 0 {
        rest -= eventually("they are old", async || {
            Some(ok(store.purge_history(Duration::ZERO, 2).await)).filter(|n| *n > 0)
        })
        .await;
    }
    assert!(ok(store.log(10).await).is_empty());
}
