//! Leases, lives, and what is left behind by a process that dies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FIRST, LIFE, Store, ask, claim, in_flight, issued, key, new, spend};
use crate::conformance::{HOUR, MINUTE, ms, race, until};
use crate::{Fingerprint, NewToken, SpendToken, TokenAnswer};

pub async fn a_released_token_keeps_only_the_rest_of_its_life(store: Store) {
    let (key, life) = (key("order", "alice"), ms(1500));
    let before = Instant::now();
    store.issue(&NewToken { ttl: life, ..new(&key) }).await.unwrap();
    let first = ask(&key);
    assert_eq!(spend(&store, &first).await, FIRST);
    tokio::time::sleep(ms(400)).await;
    assert!(store.renew(&claim(&first), MINUTE).await.unwrap());
    tokio::time::sleep(ms(400)).await;
    let released = Instant::now();
    assert!(store.release(&claim(&first), LIFE).await.unwrap());
    let probe = SpendToken { fingerprint: Fingerprint::NONE, ..ask(&key) };
    until("expired", async || match spend(&store, &probe).await {
        TokenAnswer::Expired => true,
        TokenAnswer::Mismatch => false,
        other => panic!("a released token answered {other:?}"),
    })
    .await;
    let (lived, since_release) = (before.elapsed(), released.elapsed());
    assert!(lived >= life - ms(10), "its life was cut to {lived:?}");
    assert!(since_release < life, "its life began anew: {since_release:?} after the release");
}

pub async fn an_abandoned_claim_is_taken_over_and_never_seen_as_new(store: Store) {
    let key = issued(&store).await;
    let dead = SpendToken { lease: ms(100), ..ask(&key) };
    assert_eq!(spend(&store, &dead).await, FIRST);
    let edited = SpendToken { fingerprint: Fingerprint::of("edited"), ..ask(&key) };
    until("abandoned", async || spend(&store, &edited).await == TokenAnswer::Mismatch).await;
    let second = ask(&key);
    let taken = TokenAnswer::Accepted { attempt: 2, takeover: true };
    assert_eq!(spend(&store, &second).await, taken);
    assert_eq!(spend(&store, &second).await, taken, "also when its reply was lost");
    // The first attempt was only slow. Nothing it does counts now.
    assert!(!store.renew(&claim(&dead), MINUTE).await.unwrap());
    assert!(!store.release(&claim(&dead), LIFE).await.unwrap());
    assert!(!store.complete(&claim(&dead), b"late", HOUR).await.unwrap());
    assert!(in_flight(&spend(&store, &dead).await));
    assert!(store.complete(&claim(&second), b"second", HOUR).await.unwrap());
    assert!(!store.complete(&claim(&dead), b"late", HOUR).await.unwrap());
    assert_eq!(spend(&store, &ask(&key)).await, TokenAnswer::AlreadySpent { result: b"second".to_vec() });

    // A slow attempt that nobody took over from may still finish.
    let key = issued(&store).await;
    let slow = SpendToken { lease: ms(30), ..ask(&key) };
    assert_eq!(spend(&store, &slow).await, FIRST);
    until("abandoned", async || {
        spend(&store, &SpendToken { key: key.clone(), ..edited.clone() }).await == TokenAnswer::Mismatch
    })
    .await;
    assert!(store.complete(&claim(&slow), b"slow", HOUR).await.unwrap());
}

pub async fn a_crash_does_not_block_the_retry_for_the_rest_of_the_tokens_life(store: Store) {
    let key = issued(&store).await;
    assert_eq!(spend(&store, &SpendToken { lease: ms(200), ..ask(&key) }).await, FIRST);
    match spend(&store, &ask(&key)).await {
        TokenAnswer::InFlight { retry_after } => assert!(retry_after <= ms(200), "{retry_after:?}"),
        TokenAnswer::Accepted { takeover: true, .. } => return,
        other => panic!("{other:?}"),
    }
    let taken = TokenAnswer::Accepted { attempt: 2, takeover: true };
    until("taken over", async || spend(&store, &ask(&key)).await == taken).await;
}

pub async fn a_contender_with_another_tail_does_not_take_over_a_live_claim(store: Store) {
    for (held, asked) in [(HOUR, 24 * HOUR), (24 * HOUR, HOUR)] {
        let key = issued(&store).await;
        assert_eq!(spend(&store, &SpendToken { tail: held, ..ask(&key) }).await, FIRST);
        let contender = SpendToken { tail: asked, lease: ms(1), ..ask(&key) };
        match spend(&store, &contender).await {
            TokenAnswer::InFlight { retry_after } => {
                assert!(retry_after <= MINUTE && retry_after > MINUTE / 2, "{retry_after:?}");
            }
            other => panic!("tail {held:?} against {asked:?}: {other:?}"),
        }
    }
}

pub async fn a_renewed_claim_is_not_taken_over(store: Store) {
    let key = issued(&store).await;
    let first = SpendToken { lease: ms(50), ..ask(&key) };
    assert_eq!(spend(&store, &first).await, FIRST);
    // Renewed to longer than it was claimed for, so that a slow machine cannot lose it.
    assert!(store.renew(&claim(&first), MINUTE).await.unwrap());
    let start = Instant::now();
    while start.elapsed() < ms(150) {
        assert!(in_flight(&spend(&store, &ask(&key)).await));
    }
    assert!(store.renew(&claim(&first), ms(30)).await.unwrap());
    let taken = TokenAnswer::Accepted { attempt: 2, takeover: true };
    until("taken over", async || spend(&store, &ask(&key)).await == taken).await;
    assert!(!store.renew(&claim(&first), MINUTE).await.unwrap());
}

pub async fn of_32_contenders_exactly_one_takes_over(store: Store) {
    let key = issued(&store).await;
    assert_eq!(spend(&store, &SpendToken { lease: ms(20), ..ask(&key) }).await, FIRST);
    let edited = SpendToken { fingerprint: Fingerprint::NONE, ..ask(&key) };
    until("abandoned", async || spend(&store, &edited).await == TokenAnswer::Mismatch).await;
    let answers = race(32, |_| {
        let (store, ask) = (Arc::clone(&store), ask(&key));
        async move { spend(&store, &ask).await }
    });
    let answers = answers.await;
    let taken = TokenAnswer::Accepted { attempt: 2, takeover: true };
    assert_eq!(answers.iter().filter(|answer| **answer == taken).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| in_flight(answer)).count(), 31, "{answers:?}");
}

pub async fn an_abandoned_claim_can_be_taken_over_past_the_tokens_life(store: Store) {
    let key = key("order", "alice");
    store.issue(&NewToken { ttl: ms(1000), tombstone: ms(1), ..new(&key) }).await.unwrap();
    let start = Instant::now();
    assert_eq!(spend(&store, &SpendToken { lease: ms(1200), ..ask(&key) }).await, FIRST);
    let taken = TokenAnswer::Accepted { attempt: 2, takeover: true };
    let second = ask(&key);
    until("taken over", async || spend(&store, &second).await == taken).await;
    assert!(start.elapsed() > ms(1000), "the token's life is over");
    assert!(store.release(&claim(&second), HOUR).await.unwrap());
    assert_eq!(spend(&store, &ask(&key)).await, TokenAnswer::Expired, "nothing is left of its life");
}

pub async fn an_abandoned_claim_stays_known_for_the_rest_of_its_tokens_life(store: Store) {
    let key = issued(&store).await;
    assert_eq!(spend(&store, &SpendToken { lease: ms(1), tail: Duration::ZERO, ..ask(&key) }).await, FIRST);
    tokio::time::sleep(ms(60)).await;
    let second = SpendToken { lease: ms(1), tail: Duration::ZERO, ..ask(&key) };
    assert_eq!(spend(&store, &second).await, TokenAnswer::Accepted { attempt: 2, takeover: true });
    tokio::time::sleep(ms(60)).await;
    assert!(store.release(&claim(&second), Duration::ZERO).await.unwrap());
    tokio::time::sleep(ms(60)).await;
    assert_eq!(spend(&store, &ask(&key)).await, TokenAnswer::Accepted { attempt: 3, takeover: false });
}
