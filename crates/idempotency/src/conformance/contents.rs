//! The contract of a [`DedupStore`].

mod collisions;

use std::sync::Arc;
use std::time::Instant;

pub use collisions::{
    a_collided_content_is_remembered_when_the_first_is_gone, a_verified_collision_is_processed_and_told,
    an_md5_collision_is_a_duplicate_unless_verified, of_concurrent_colliding_contents_each_is_processed_once,
    verified_and_plain_claims_know_each_others_records,
};

use super::{HOUR, MINUTE, ms, race, until};
use crate::digest::hex;
use crate::{ContentAnswer, ContentClaim, ContentKey, ContentSlot, DedupStore, DigestKind, Owner, TokenId};

type Store = Arc<dyn DedupStore>;

fn key(scope: &str, kind: DigestKind, verified: bool, content: &[u8]) -> ContentKey {
    let second = verified.then(|| kind.second(content));
    ContentKey { name: format!("{scope}:{}:{}", kind.name(), kind.hex(content)), second }
}

/// A content that no other case uses.
fn fresh() -> ContentKey {
    key("scope", DigestKind::Md5, false, TokenId::random().as_bytes())
}

fn ask(key: &ContentKey) -> ContentSlot {
    ContentSlot {
        key: key.clone(),
        owner: Owner::random(),
        holder: "tester".to_owned(),
        lease: MINUTE,
        tail: HOUR,
        retention: HOUR,
        mark: false,
    }
}

fn claim(ask: &ContentSlot) -> ContentClaim {
    ContentClaim { key: ask.key.clone(), collided: false, owner: ask.owner }
}

async fn first(store: &Store, ask: &ContentSlot) -> ContentAnswer {
    store.claim(ask).await.unwrap()
}

const FIRST: ContentAnswer = ContentAnswer::First { attempt: 1, takeover: false, collided: false };
const TAKEN: ContentAnswer = ContentAnswer::First { attempt: 2, takeover: true, collided: false };

fn in_flight(answer: &ContentAnswer) -> bool {
    matches!(answer, ContentAnswer::InFlight { .. })
}

pub async fn a_content_is_processed_once(store: Store) {
    let one = ask(&fresh());
    assert_eq!(first(&store, &one).await, FIRST);
    match first(&store, &ask(&one.key)).await {
        ContentAnswer::InFlight { retry_after } => {
            assert!(retry_after <= MINUTE && retry_after > MINUTE / 2)
        }
        other => panic!("{other:?}"),
    }
    assert!(store.complete(&claim(&one), HOUR).await.unwrap());
    assert_eq!(first(&store, &ask(&one.key)).await, ContentAnswer::Done);
    assert!(!store.release(&claim(&one)).await.unwrap(), "what is done is not forgotten");
    assert!(!store.renew(&claim(&one), MINUTE).await.unwrap());
    assert_eq!(first(&store, &ask(&one.key)).await, ContentAnswer::Done);
    assert_eq!(first(&store, &ask(&fresh())).await, FIRST);
}

pub async fn of_64_concurrent_claims_exactly_one_is_the_first(store: Store) {
    for _ in 0..4 {
        let key = fresh();
        let answers = race(64, |_| {
            let (store, ask) = (Arc::clone(&store), ask(&key));
            async move { first(&store, &ask).await }
        });
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| **answer == FIRST).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| in_flight(answer)).count(), 63, "{answers:?}");
    }
}

pub async fn a_lost_reply_does_not_turn_the_first_into_a_duplicate(store: Store) {
    let one = ask(&fresh());
    for _ in 0..2 {
        assert_eq!(first(&store, &one).await, FIRST);
        assert!(store.renew(&claim(&one), MINUTE).await.unwrap());
    }
    for _ in 0..2 {
        assert!(store.release(&claim(&one)).await.unwrap());
    }
    let two = ask(&one.key);
    assert_eq!(first(&store, &two).await, FIRST);
    assert!(!store.release(&claim(&one)).await.unwrap(), "a late repeat frees nobody else's claim");
    for _ in 0..2 {
        assert!(store.complete(&claim(&two), HOUR).await.unwrap());
    }
    assert!(!store.complete(&claim(&one), HOUR).await.unwrap());
}

pub async fn work_of_a_dead_process_is_handed_out_again(store: Store) {
    let dead = ContentSlot { lease: ms(100), ..ask(&fresh()) };
    assert_eq!(first(&store, &dead).await, FIRST);
    let second = ask(&dead.key);
    until("handed out", async || first(&store, &second).await == TAKEN).await;
    assert_eq!(first(&store, &second).await, TAKEN, "also when its reply was lost");
    assert!(in_flight(&first(&store, &dead).await));
    assert!(!store.renew(&claim(&dead), MINUTE).await.unwrap());
    assert!(!store.complete(&claim(&dead), HOUR).await.unwrap());
    assert!(!store.release(&claim(&dead)).await.unwrap());
    assert!(store.complete(&claim(&second), HOUR).await.unwrap());
    assert_eq!(first(&store, &ask(&dead.key)).await, ContentAnswer::Done);
}

pub async fn of_32_contenders_exactly_one_takes_over(store: Store) {
    let (dead, start) = (ContentSlot { lease: ms(200), ..ask(&fresh()) }, Instant::now());
    assert_eq!(first(&store, &dead).await, FIRST);
    tokio::time::sleep(ms(250).saturating_sub(start.elapsed())).await;
    let answers = race(32, |_| {
        let (store, ask) = (Arc::clone(&store), ask(&dead.key));
        async move { first(&store, &ask).await }
    });
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|answer| **answer == TAKEN).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| in_flight(answer)).count(), 31, "{answers:?}");
}

pub async fn a_renewed_claim_is_not_taken_over(store: Store) {
    let one = ContentSlot { lease: ms(50), ..ask(&fresh()) };
    assert_eq!(first(&store, &one).await, FIRST);
    assert!(store.renew(&claim(&one), MINUTE).await.unwrap());
    let start = Instant::now();
    while start.elapsed() < ms(150) {
        assert!(in_flight(&first(&store, &ask(&one.key)).await));
    }
    assert!(store.renew(&claim(&one), ms(20)).await.unwrap());
    until("handed out", async || first(&store, &ask(&one.key)).await == TAKEN).await;
}

pub async fn a_released_content_is_new_again(store: Store) {
    let one = ask(&fresh());
    assert_eq!(first(&store, &one).await, FIRST);
    assert!(store.release(&claim(&one)).await.unwrap());
    assert_eq!(first(&store, &ask(&one.key)).await, FIRST);
}

pub async fn a_mark_is_set_once(store: Store) {
    let mark = |key: &ContentKey| ContentSlot { mark: true, ..ask(key) };
    let one = mark(&fresh());
    assert_eq!(first(&store, &one).await, FIRST);
    assert_eq!(first(&store, &one).await, FIRST, "its reply was lost");
    assert_eq!(first(&store, &mark(&one.key)).await, ContentAnswer::Done);
    assert_eq!(first(&store, &ask(&one.key)).await, ContentAnswer::Done);
    let two = ask(&fresh());
    assert_eq!(first(&store, &two).await, FIRST);
    assert!(in_flight(&first(&store, &mark(&two.key)).await));
}

pub async fn of_32_concurrent_marks_exactly_one_is_new(store: Store) {
    let key = fresh();
    let answers = race(32, |_| {
        let (store, ask) = (Arc::clone(&store), ContentSlot { mark: true, ..ask(&key) });
        async move { first(&store, &ask).await }
    });
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|answer| **answer == FIRST).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == ContentAnswer::Done).count(), 31, "{answers:?}");
}

pub async fn scopes_and_digests_do_not_meet(store: Store) {
    let content = TokenId::random();
    for scope in ["a", "A", "b", &"s".repeat(64)] {
        for kind in [DigestKind::Md5, DigestKind::Sha256, DigestKind::Blake3] {
            let key = key(scope, kind, true, content.as_bytes());
            assert_eq!(first(&store, &ask(&key)).await, FIRST, "{scope} {kind:?}");
            assert!(in_flight(&first(&store, &ask(&key)).await), "{scope} {kind:?}");
        }
    }
}

pub async fn a_content_is_forgotten_after_its_retention(store: Store) {
    let one = ask(&fresh());
    assert_eq!(first(&store, &one).await, FIRST);
    assert!(store.complete(&claim(&one), ms(100)).await.unwrap());
    until("forgotten", async || first(&store, &ask(&one.key)).await == FIRST).await;

    let dead = ContentSlot { lease: ms(30), tail: ms(30), ..ask(&fresh()) };
    assert_eq!(first(&store, &dead).await, FIRST);
    let marked = ContentSlot { mark: true, retention: ms(30), ..ask(&fresh()) };
    assert_eq!(first(&store, &marked).await, FIRST);
    tokio::time::sleep(ms(100)).await;
    assert_eq!(first(&store, &ask(&dead.key)).await, FIRST, "after lease and tail");
    assert_eq!(first(&store, &ask(&marked.key)).await, FIRST);
}

/// A key whose second digest is a given number, as if the contents collided.
fn colliding(name: &str, second: u8) -> ContentKey {
    ContentKey { name: name.to_owned(), second: Some(crate::Fingerprint::from_bytes([second + 1; 32])) }
}

fn unique_name() -> String {
    format!("scope:md5:{}", hex(TokenId::random().as_bytes()))
}
