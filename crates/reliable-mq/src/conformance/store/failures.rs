//! What becomes of messages that could not be sent.

use std::time::Duration;

use super::{LONG, MANY, Made, Relay, dead, enqueue, retry, status};
use crate::{
    Error, Message, MessageId, Replay, Status,
    conformance::{eventually, keyed, message, ok, text},
    store::{History, Place, Verdict},
};

pub async fn a_failed_row_is_in_the_log_and_is_sent_again<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = enqueue(&store, keyed("k", "")).await;
    let relay = Relay::of(&store).await;
    relay.settle(&relay.fetch().await.remove(0), retry(Duration::from_millis(30))).await;
    assert_eq!(status(&store, &id).await, Some((Status::Failed, 1, Some("on purpose".to_owned()))));
    assert!(relay.fetch().await.is_empty());
    let again = eventually("it is due", async || relay.due().await.pop()).await;
    assert_eq!((&again.envelope.id, again.attempts, again.place), (&id, 1, Place::Delayed));
    relay.settle(&again, retry(Duration::ZERO)).await;
    let again = eventually("it is due", async || relay.due().await.pop()).await;
    assert_eq!(again.attempts, 2);
    relay.settle(&again, Verdict::Sent).await;
    assert_eq!(status(&store, &id).await, Some((Status::Sent, 3, None)));
    let attempts = ok(store.attempts(&id).await);
    let words: Vec<(Status, u32)> = attempts.iter().map(|attempt| (attempt.status, attempt.attempt)).collect();
    assert_eq!(words, [(Status::Failed, 1), (Status::Failed, 2), (Status::Sent, 3)]);
    assert_eq!(attempts[0].error.as_deref(), Some("on purpose"));
}

pub async fn a_failing_key_blocks_only_itself<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.enqueue(&[keyed("bad", "1"), keyed("good", "1"), keyed("bad", "2"), message("topic", "none")]).await);
    let relay = Relay::of(&store).await;
    let mut fetched = relay.fetch().await;
    let at = fetched.iter().position(|queued| queued.envelope.key() == Some("bad")).unwrap_or_default();
    relay.settle(&fetched.remove(at), retry(Duration::ZERO)).await;
    let mut free = relay.texts().await;
    free.sort();
    assert_eq!(free, ["1", "none"], "the second of the failing key waits");
    enqueue(&store, keyed("bad", "3")).await;
    assert_eq!(relay.texts().await.len(), 2);
    relay.settle(&eventually("it is due", async || relay.due().await.pop()).await, Verdict::Sent).await;
    let bad = relay.fetch().await.into_iter().filter(|queued| queued.envelope.key() == Some("bad"));
    assert_eq!(bad.map(|queued| text(&queued.envelope)).collect::<Vec<_>>(), ["2", "3"]);
}

pub async fn a_released_key_lets_the_next_pass<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.enqueue(&[keyed("k", "1"), keyed("k", "2")]).await);
    let relay = Relay::of(&store).await;
    relay.settle(&relay.fetch().await.remove(0), retry(Duration::ZERO)).await;
    assert!(relay.fetch().await.is_empty());
    assert_eq!(ok(store.release_key("other").await), 0);
    assert_eq!(ok(store.release_key("k").await), 1);
    let stale = ok(store.fetch(&relay.whole(), MANY).await);
    assert!(stale.queued.is_empty(), "the lane is to be read from its start, so it was taken away");
    assert!(!stale.lost.is_empty() && !ok(store.renew(&relay.leases[stale.lost[0] as usize], LONG).await));
    let relay = Relay::of(&store).await;
    assert_eq!(relay.texts().await, ["2"]);
    let first = eventually("it is due", async || relay.due().await.pop()).await;
    relay.settle(&first, retry(Duration::ZERO)).await;
    assert_eq!(relay.texts().await, ["2"], "a released message blocks no more when it fails again");
}

pub async fn a_relay_without_its_lease_writes_no_failures<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.enqueue(&[keyed("k", "1"), keyed("k", "2")]).await);
    let paused = Relay::named(&store, "r").await;
    let mut seen = paused.fetch().await;
    let second = seen.remove(1);
    let first = seen.remove(0);
    let owner = Relay::named(&store, "r").await;
    let batch = [(&first, dead()), (&second, Verdict::Sent)];
    let report = paused.settle_all(History::Rows, &batch).await;
    assert_eq!(report.fenced.len(), 1);
    assert_eq!(report.done, 1, "what was sent is sent, whoever says so");
    assert!(paused.fetch().await.is_empty(), "what it lost it does not read");
    assert_eq!(owner.texts().await, ["1"]);
    assert!(ok(store.dead(10).await).is_empty());
}

pub async fn a_dead_letter_is_listed_and_replayed_under_its_id<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = enqueue(&store, keyed("k", "payload")).await;
    let relay = Relay::of(&store).await;
    relay.settle(&relay.fetch().await.remove(0), retry(Duration::ZERO)).await;
    relay.settle(&eventually("it is due", async || relay.due().await.pop()).await, dead()).await;
    let letters = ok(store.dead(10).await);
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0].envelope.id, letters[0].attempts, letters[0].error.as_str()), (&id, 2, "on purpose"));
    assert_eq!(text(&letters[0].envelope), "payload");
    assert_eq!(status(&store, &id).await.map(|row| row.0), Some(Status::Dead));
    assert!(!ok(store.replay(&ok(MessageId::parse("unknown")), None).await));
    assert!(ok(store.replay(&id, None).await));
    assert!(!ok(store.replay(&id, None).await), "once");
    let again = relay.fetch().await.remove(0);
    assert_eq!((&again.envelope.id, again.attempts), (&id, 0), "with its id and a fresh budget");
    assert!(ok(store.dead(10).await).is_empty());
}

pub async fn a_replay_beyond_the_inboxes_memory_is_refused<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let id = enqueue(&store, message("topic", "")).await;
    let relay = Relay::of(&store).await;
    relay.settle(&relay.fetch().await.remove(0), dead()).await;
    let window = Some(Duration::from_micros(1));
    let refused = eventually("it is older", async || store.replay(&id, window).await.err()).await;
    assert!(matches!(refused, Error::MayDuplicate), "{refused:?}");
    assert!(ok(store.replay(&id, Some(LONG)).await));
}

pub async fn a_replayed_message_says_on_what_assumption<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let whole = ok(Message::to("topic").header("lang", "de \"\\ ü").text("text"));
    let id = enqueue(&store, whole.clone()).await;
    let relay = Relay::of(&store).await;
    let first = relay.fetch().await.remove(0);
    assert_eq!(
        (first.envelope.replay(), &*first.envelope.message),
        (None, &whole),
        "a first delivery has no such header"
    );
    relay.settle(&first, dead()).await;
    // The last one counts, also of one that was replayed before.
    for window in [Some(LONG), None, Some(LONG * 2)] {
        assert!(ok(store.replay(&id, window).await));
        let again = relay.fetch().await.remove(0);
        assert_eq!(again.envelope.replay(), Some(window.map_or(Replay::MayDuplicate, Replay::Within)));
        assert_eq!((again.envelope.headers().len(), again.envelope.header("lang")), (2, whole.header("lang")));
        assert_eq!(again.envelope.payload(), whole.payload());
        relay.settle(&again, dead()).await;
        assert_eq!(ok(store.dead(10).await).len(), 1);
    }
}

pub async fn a_dead_message_does_not_block_its_key<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.enqueue(&[keyed("k", "1"), keyed("k", "2")]).await);
    let relay = Relay::of(&store).await;
    relay.settle(&relay.fetch().await.remove(0), dead()).await;
    assert_eq!(relay.texts().await, ["2"]);
}
