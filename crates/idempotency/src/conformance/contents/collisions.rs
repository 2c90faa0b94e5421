//! Two contents with one digest.

use std::sync::Arc;

use super::{FIRST, Store, ask, claim, colliding, first, in_flight, key, unique_name};
use crate::conformance::{HOUR, ms, race, skip};
use crate::{ContentAnswer, ContentClaim, ContentSlot, DigestKind, TokenId};

/// The collision that Wang and others published in 2004: two blocks of 128 bytes.
const PAIR: [&str; 2] = [
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70",
    "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70",
];

fn pair() -> [Vec<u8>; 2] {
    let bytes = |text: &str| {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    let pair = PAIR.map(bytes);
    assert_ne!(pair[0], pair[1]);
    assert_eq!(DigestKind::Md5.hex(&pair[0]), DigestKind::Md5.hex(&pair[1]));
    pair
}

const COLLIDED: ContentAnswer = ContentAnswer::First { attempt: 1, takeover: false, collided: true };

pub async fn an_md5_collision_is_a_duplicate_unless_verified(store: Store) {
    let [one, two] = pair();
    let scope = TokenId::random().to_string();
    let one = ask(&key(&scope, DigestKind::Md5, false, &one));
    assert_eq!(first(&store, &one).await, FIRST);
    assert!(store.complete(&claim(&one), HOUR).await.unwrap());
    assert_eq!(first(&store, &ask(&key(&scope, DigestKind::Md5, false, &two))).await, ContentAnswer::Done);
    for kind in [DigestKind::Sha256, DigestKind::Blake3] {
        assert_eq!(first(&store, &ask(&key(&scope, kind, false, &two))).await, FIRST);
    }
}

pub async fn a_verified_collision_is_processed_and_told(store: Store) {
    if !store.capabilities().verified {
        return skip("verified digests");
    }
    let scope = TokenId::random().to_string();
    let [one, two] = pair().map(|content| ask(&key(&scope, DigestKind::Md5, true, &content)));
    assert_eq!(first(&store, &one).await, FIRST);
    assert_eq!(first(&store, &two).await, COLLIDED);
    assert_eq!(first(&store, &two).await, COLLIDED, "its reply was lost");
    assert!(in_flight(&first(&store, &ask(&one.key)).await));
    assert!(in_flight(&first(&store, &ask(&two.key)).await));
    assert!(store.complete(&claim(&one), HOUR).await.unwrap());
    assert!(in_flight(&first(&store, &ask(&two.key)).await), "one's end is not the other's");
    assert!(store.complete(&ContentClaim { collided: true, ..claim(&two) }, HOUR).await.unwrap());
    for done in [&one, &two] {
        assert_eq!(first(&store, &ask(&done.key)).await, ContentAnswer::Done);
    }
}

pub async fn of_concurrent_colliding_contents_each_is_processed_once(store: Store) {
    if !store.capabilities().verified {
        return skip("verified digests");
    }
    for _ in 0..4 {
        let name = unique_name();
        let answers = race(48, |n| {
            let (store, ask) = (Arc::clone(&store), ask(&colliding(&name, u8::try_from(n % 3).unwrap())));
            async move { (n % 3, first(&store, &ask).await) }
        });
        let answers = answers.await;
        let mut collided = 0;
        for content in 0..3 {
            let firsts: Vec<_> = answers
                .iter()
                .filter(|(of, answer)| *of == content && matches!(answer, ContentAnswer::First { .. }))
                .collect();
            assert_eq!(firsts.len(), 1, "{answers:?}");
            collided += usize::from(firsts[0].1 == COLLIDED);
        }
        assert_eq!(collided, 2, "{answers:?}");
    }
}

pub async fn a_collided_content_is_remembered_when_the_first_is_gone(store: Store) {
    if !store.capabilities().verified {
        return skip("verified digests");
    }
    let name = unique_name();
    let (one, two) = (ask(&colliding(&name, 1)), ask(&colliding(&name, 2)));
    assert_eq!(first(&store, &one).await, FIRST);
    assert_eq!(first(&store, &two).await, COLLIDED);
    assert!(store.complete(&ContentClaim { collided: true, ..claim(&two) }, HOUR).await.unwrap());
    assert!(store.release(&claim(&one)).await.unwrap());
    assert_eq!(first(&store, &ask(&two.key)).await, ContentAnswer::Done, "the first slot is free");
    let one = ask(&one.key);
    assert_eq!(first(&store, &one).await, FIRST);
    assert!(store.complete(&claim(&one), ms(30)).await.unwrap());
    tokio::time::sleep(ms(60)).await;
    assert_eq!(first(&store, &ask(&two.key)).await, ContentAnswer::Done, "the first slot is over");
}

pub async fn verified_and_plain_claims_know_each_others_records(store: Store) {
    if !store.capabilities().verified {
        return skip("verified digests");
    }
    for verified in [true, false] {
        let content = TokenId::random();
        let [held, asked] = [verified, !verified].map(|it| ask(&key("scope", DigestKind::Md5, it, content.as_bytes())));
        assert_eq!(first(&store, &held).await, FIRST);
        assert!(in_flight(&first(&store, &asked).await));
        assert!(store.complete(&claim(&held), HOUR).await.unwrap());
        let mark = ContentSlot { mark: true, ..asked };
        assert_eq!(first(&store, &mark).await, ContentAnswer::Done);
    }
}
