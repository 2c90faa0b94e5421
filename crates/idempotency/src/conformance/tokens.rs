//! The contract of a [`TokenStore`].

mod bare;
mod histories;
mod leases;

use std::sync::Arc;
use std::time::Duration;

pub use bare::{
    a_bare_token_is_consumed_once_and_only_by_its_exact_value, a_bare_token_lives_for_its_time,
    of_32_concurrent_consumers_exactly_one_consumes,
};

pub use histories::random_histories_are_answered_as_by_the_memory_store;
pub use leases::{
    a_contender_with_another_tail_does_not_take_over_a_live_claim,
    a_crash_does_not_block_the_retry_for_the_rest_of_the_tokens_life, a_released_token_keeps_only_the_rest_of_its_life,
    a_renewed_claim_is_not_taken_over, an_abandoned_claim_can_be_taken_over_past_the_tokens_life,
    an_abandoned_claim_is_taken_over_and_never_seen_as_new,
    an_abandoned_claim_stays_known_for_the_rest_of_its_tokens_life, of_32_contenders_exactly_one_takes_over,
};

use super::{HOUR, MINUTE, ms, race, skip, until};
use crate::{
    ClaimRef, Fingerprint, MAX_RESULT, NewToken, Owner, SpendToken, TokenAnswer, TokenId, TokenKey, TokenStore,
};

type Store = Arc<dyn TokenStore>;

const LIFE: Duration = Duration::from_secs(1800);

fn key(purpose: &str, user: &str) -> TokenKey {
    TokenKey { purpose: purpose.to_owned(), user: user.to_owned(), id: TokenId::random() }
}

fn shown() -> Fingerprint {
    Fingerprint::of("shown")
}

fn new(key: &TokenKey) -> NewToken {
    NewToken { key: key.clone(), fingerprint: shown(), ttl: LIFE, tombstone: LIFE, latest: false }
}

fn ask(key: &TokenKey) -> SpendToken {
    SpendToken {
        key: key.clone(),
        fingerprint: shown(),
        owner: Owner::random(),
        holder: "tester".to_owned(),
        lease: MINUTE,
        tail: HOUR,
        retention: HOUR,
        latest: false,
        outlived: false,
    }
}

fn claim(ask: &SpendToken) -> ClaimRef {
    ClaimRef { key: ask.key.clone(), owner: ask.owner }
}

async fn issued(store: &Store) -> TokenKey {
    let key = key("order", "alice");
    store.issue(&new(&key)).await.unwrap();
    key
}

async fn spend(store: &Store, ask: &SpendToken) -> TokenAnswer {
    store.spend(ask).await.unwrap()
}

const FIRST: TokenAnswer = TokenAnswer::Accepted { attempt: 1, takeover: false };

fn in_flight(answer: &TokenAnswer) -> bool {
    matches!(answer, TokenAnswer::InFlight { .. })
}

pub async fn a_token_is_spent_once_and_then_answers_with_its_result(store: Store) {
    let key = issued(&store).await;
    let first = ask(&key);
    assert_eq!(spend(&store, &first).await, FIRST);
    assert!(in_flight(&spend(&store, &ask(&key)).await));
    assert!(store.complete(&claim(&first), b"order 17", HOUR).await.unwrap());
    let spent = TokenAnswer::AlreadySpent { result: b"order 17".to_vec() };
    assert_eq!(spend(&store, &ask(&key)).await, spent);
    // The cart is empty after the order, so the fingerprint no longer matters.
    let edited = SpendToken { fingerprint: Fingerprint::NONE, ..ask(&key) };
    assert_eq!(spend(&store, &edited).await, spent);
    assert!(!store.release(&claim(&first), LIFE).await.unwrap(), "what is done cannot be given back");
    assert!(!store.renew(&claim(&first), MINUTE).await.unwrap());
    assert_eq!(spend(&store, &ask(&key)).await, spent);
}

pub async fn of_64_concurrent_spends_exactly_one_is_accepted(store: Store) {
    for _ in 0..4 {
        let key = issued(&store).await;
        let answers = race(64, |_| {
            let (store, ask) = (Arc::clone(&store), ask(&key));
            async move { spend(&store, &ask).await }
        });
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| **answer == FIRST).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| in_flight(answer)).count(), 63, "{answers:?}");
    }
}

pub async fn a_lost_reply_does_not_turn_the_winner_into_a_duplicate(store: Store) {
    let key = issued(&store).await;
    store.issue(&new(&key)).await.unwrap();
    let first = ask(&key);
    assert_eq!(spend(&store, &first).await, FIRST);
    assert_eq!(spend(&store, &first).await, FIRST, "the same owner asks again");
    store.issue(&new(&key)).await.unwrap();
    assert!(in_flight(&spend(&store, &ask(&key)).await), "a late repeat of the issue does not free it");
    for _ in 0..2 {
        assert!(store.renew(&claim(&first), MINUTE).await.unwrap());
    }
    for _ in 0..2 {
        assert!(store.release(&claim(&first), LIFE).await.unwrap());
    }
    let second = ask(&key);
    for _ in 0..2 {
        assert_eq!(spend(&store, &second).await, TokenAnswer::Accepted { attempt: 2, takeover: false });
    }
    assert!(!store.release(&claim(&first), LIFE).await.unwrap(), "a late repeat frees nobody else's claim");
    for _ in 0..2 {
        assert!(store.complete(&claim(&second), b"done", HOUR).await.unwrap());
    }
    assert!(!store.complete(&claim(&second), b"something else", HOUR).await.unwrap());
    assert_eq!(spend(&store, &ask(&key)).await, TokenAnswer::AlreadySpent { result: b"done".to_vec() });
}

pub async fn another_users_token_is_absent(store: Store) {
    let key = issued(&store).await;
    let others = [
        TokenKey { user: "bob".to_owned(), ..key.clone() },
        TokenKey { purpose: "refund".to_owned(), ..key.clone() },
        TokenKey { id: TokenId::random(), ..key.clone() },
    ];
    for other in &others {
        assert_eq!(spend(&store, &ask(other)).await, TokenAnswer::Absent, "{other:?}");
    }
    let first = ask(&key);
    assert_eq!(spend(&store, &first).await, FIRST, "nobody else's question touched it");
    for other in others {
        let foreign = ClaimRef { key: other, owner: first.owner };
        assert!(!store.complete(&foreign, b"mine", HOUR).await.unwrap());
        assert!(!store.release(&foreign, LIFE).await.unwrap());
        assert!(!store.renew(&foreign, MINUTE).await.unwrap());
    }
    assert!(in_flight(&spend(&store, &ask(&key)).await));
}

pub async fn an_edited_cart_is_a_mismatch_and_leaves_the_token_unspent(store: Store) {
    let key = issued(&store).await;
    let edited = SpendToken { fingerprint: Fingerprint::of("edited"), ..ask(&key) };
    assert_eq!(spend(&store, &edited).await, TokenAnswer::Mismatch);
    assert_eq!(spend(&store, &edited).await, TokenAnswer::Mismatch);
    assert_eq!(spend(&store, &ask(&key)).await, FIRST);
    assert!(in_flight(&spend(&store, &edited).await), "a claim in flight is told first");
}

pub async fn an_expired_token_is_told_from_an_unknown_one(store: Store) {
    let key = key("order", "alice");
    store.issue(&NewToken { ttl: ms(30), ..new(&key) }).await.unwrap();
    // A fingerprint that never fits: the question changes nothing.
    let probe = SpendToken { fingerprint: Fingerprint::NONE, ..ask(&key) };
    until("expired", async || spend(&store, &probe).await == TokenAnswer::Expired).await;
    assert_eq!(spend(&store, &ask(&key)).await, TokenAnswer::Expired);
    let unknown = TokenKey { id: TokenId::random(), ..key.clone() };
    assert_eq!(spend(&store, &ask(&unknown)).await, TokenAnswer::Absent);

    let key = TokenKey { id: TokenId::random(), ..key };
    store.issue(&NewToken { ttl: ms(20), tombstone: ms(20), ..new(&key) }).await.unwrap();
    let probe = SpendToken { key, ..probe };
    until("forgotten", async || spend(&store, &probe).await == TokenAnswer::Absent).await;
}

pub async fn a_newer_token_supersedes_only_an_unspent_one(store: Store) {
    let keys: Vec<_> = (0..4).map(|_| key("order", "alice")).collect();
    let latest = |key: &TokenKey| NewToken { latest: true, ..new(key) };
    let wish = |key: &TokenKey| SpendToken { latest: true, ..ask(key) };
    store.issue(&latest(&keys[0])).await.unwrap();
    let running = wish(&keys[0]);
    assert_eq!(spend(&store, &running).await, FIRST);
    store.issue(&latest(&keys[1])).await.unwrap();
    store.issue(&latest(&key("order", "bob"))).await.unwrap();
    store.issue(&latest(&key("refund", "alice"))).await.unwrap();
    assert!(in_flight(&spend(&store, &wish(&keys[0])).await), "a running order is not touched");
    store.issue(&latest(&keys[2])).await.unwrap();
    assert_eq!(spend(&store, &wish(&keys[1])).await, TokenAnswer::Superseded);
    assert!(store.complete(&claim(&running), b"kept", HOUR).await.unwrap(), "the running order is not lost");
    assert_eq!(spend(&store, &wish(&keys[0])).await, TokenAnswer::AlreadySpent { result: b"kept".to_vec() });

    let refused = wish(&keys[2]);
    assert_eq!(spend(&store, &refused).await, FIRST);
    store.issue(&latest(&keys[3])).await.unwrap();
    assert!(store.release(&claim(&refused), LIFE).await.unwrap());
    assert_eq!(spend(&store, &wish(&keys[2])).await, TokenAnswer::Superseded, "released after a newer one came");
    assert_eq!(spend(&store, &wish(&keys[3])).await, FIRST);
}

pub async fn two_tabs_do_not_disturb_each_other(store: Store) {
    let (one, two) = (issued(&store).await, issued(&store).await);
    let first = ask(&one);
    assert_eq!(spend(&store, &first).await, FIRST);
    assert_eq!(spend(&store, &ask(&two)).await, FIRST);
    assert!(store.complete(&claim(&first), b"one", HOUR).await.unwrap());
    assert!(in_flight(&spend(&store, &ask(&two)).await));
}

pub async fn a_dead_process_leaves_claims_that_are_listed_and_settled(store: Store) {
    if !store.capabilities().running {
        return skip("list of running claims");
    }
    let purpose = format!("audit-{}", TokenId::random());
    let mut asks = Vec::new();
    for n in 0..6_u32 {
        let key = key(&purpose, &format!("user-{n}"));
        store.issue(&new(&key)).await.unwrap();
        let lease = if n == 0 { ms(1) } else { MINUTE };
        asks.push(SpendToken { holder: format!("shop-{n}"), lease, ..ask(&key) });
    }
    for ask in &asks[..5] {
        assert_eq!(spend(&store, ask).await, FIRST);
    }
    assert!(store.complete(&claim(&asks[3]), b"", HOUR).await.unwrap());
    assert!(store.release(&claim(&asks[4]), LIFE).await.unwrap());

    let list = async |older, limit| store.running(&purpose, older, limit).await.unwrap();
    until("abandoned", async || list(ms(1), 10).await.iter().any(|claim| claim.lease_left.is_zero())).await;
    let listed = list(Duration::ZERO, 10).await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    for (n, ask) in asks[..3].iter().enumerate() {
        let found = listed.iter().find(|found| found.claim == claim(ask)).unwrap();
        assert_eq!((found.holder.as_str(), found.attempt), (ask.holder.as_str(), 1));
        assert!(found.running_for < MINUTE && found.lease_left <= MINUTE);
        assert_eq!(found.lease_left.is_zero(), n == 0);
    }
    assert_eq!(list(Duration::ZERO, 2).await.len(), 2);
    assert_eq!(list(2 * MINUTE, 10).await, [], "none is older than two minutes");
    assert_eq!(store.running("another", Duration::ZERO, 10).await.unwrap(), []);

    // Recovery: one order exists, one does not, and one attempt was alive after all.
    assert!(store.complete(&claim(&asks[2]), b"alive", HOUR).await.unwrap());
    for found in &listed {
        let settled = if found.claim == claim(&asks[0]) {
            store.complete(&found.claim, b"order 1", HOUR).await.unwrap()
        } else {
            store.release(&found.claim, LIFE).await.unwrap()
        };
        assert_eq!(settled, found.claim != claim(&asks[2]), "{found:?}");
    }
    assert_eq!(list(Duration::ZERO, 10).await, []);
    let again = |n: usize| ask(&asks[n].key);
    assert_eq!(spend(&store, &again(0)).await, TokenAnswer::AlreadySpent { result: b"order 1".to_vec() });
    assert_eq!(spend(&store, &again(1)).await, TokenAnswer::Accepted { attempt: 2, takeover: false });
    assert_eq!(spend(&store, &again(2)).await, TokenAnswer::AlreadySpent { result: b"alive".to_vec() });
}

pub async fn keys_are_compared_byte_by_byte(store: Store) {
    let users = ["a", "A", "a:", "a{b}", "a*", "a?[x]", "a%", "a_", "a'", "a\"", "a\\", &"x".repeat(128)];
    let purpose = "p".repeat(64);
    let keys: Vec<_> = users.iter().map(|user| key(&purpose, user)).collect();
    for key in &keys {
        store.issue(&NewToken { latest: true, ..new(key) }).await.unwrap();
        store.issue_bare(&format!("{}{}", key.id, key.user), "value", MINUTE).await.unwrap();
    }
    for key in &keys {
        let first = SpendToken { latest: true, holder: "h".repeat(64), ..ask(key) };
        assert_eq!(spend(&store, &first).await, FIRST, "{key:?}");
        assert!(store.complete(&claim(&first), key.user.as_bytes(), HOUR).await.unwrap());
        let spent = TokenAnswer::AlreadySpent { result: key.user.as_bytes().to_vec() };
        assert_eq!(spend(&store, &ask(key)).await, spent);
    }
}

pub async fn results_come_back_as_they_went_in(store: Store) {
    let binary: Vec<u8> = (0..=u8::MAX).cycle().take(MAX_RESULT).collect();
    for result in [&b""[..], b"\0", &binary] {
        let first = ask(&issued(&store).await);
        assert_eq!(spend(&store, &first).await, FIRST);
        for _ in 0..2 {
            assert!(store.complete(&claim(&first), result, HOUR).await.unwrap());
        }
        let spent = TokenAnswer::AlreadySpent { result: result.to_vec() };
        assert_eq!(spend(&store, &ask(&first.key)).await, spent);
    }
}
