//! Random histories, compared with the memory store step by step.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::{LIFE, Store, ask, claim, key, new};
use crate::conformance::{HOUR, MINUTE};
use crate::{Fingerprint, MemoryStore, NewToken, RunningClaim, SpendToken, TokenAnswer, TokenId};

/// Enough for choosing among a handful.
struct Choice(u64);

impl Choice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What an answer says, without how much time is left.
fn said(answer: TokenAnswer) -> TokenAnswer {
    match answer {
        TokenAnswer::InFlight { .. } => TokenAnswer::InFlight { retry_after: Duration::ZERO },
        other => other,
    }
}

fn listed(running: Vec<RunningClaim>) -> Vec<impl Debug + Ord> {
    let mut listed: Vec<_> = running
        .into_iter()
        .map(|found| {
            let owner = *found.claim.owner.as_bytes();
            (found.claim.key.id, owner, found.holder, found.attempt, found.lease_left.is_zero())
        })
        .collect();
    listed.sort();
    listed
}

/// A lease of zero is abandoned at once and a life of zero is over at once, so no step depends on how fast it is made.
pub async fn random_histories_are_answered_as_by_the_memory_store(store: Store) {
    let model: Store = Arc::new(MemoryStore::new());
    for _ in 0..12 {
        let seed = u64::from_be_bytes(TokenId::random().as_bytes()[8..].try_into().unwrap());
        println!("seed {seed}");
        let mut choice = Choice(seed);
        let latest = choice.chance(50);
        let purpose = format!("p-{}", TokenId::random());
        let keys: Vec<_> = (0..5).map(|n| key(&purpose, ["alice", "bob"][n % 2])).collect();
        let mut asks: Vec<SpendToken> = Vec::new();
        for step in 0..80 {
            let at = format!("seed {seed}, step {step}");
            let key = &keys[choice.below(keys.len())];
            let roll = choice.below(100);
            if roll < 15 {
                let ttl = if choice.chance(20) { Duration::ZERO } else { LIFE };
                let new = NewToken { ttl, latest, ..new(key) };
                store.issue(&new).await.unwrap();
                model.issue(&new).await.unwrap();
            } else if roll < 60 || asks.is_empty() {
                let again = choice.chance(30) && !asks.is_empty();
                let wish = if again {
                    asks[choice.below(asks.len())].clone()
                } else {
                    let fingerprint = if choice.chance(15) { Fingerprint::NONE } else { ask(key).fingerprint };
                    let lease = if choice.chance(40) { Duration::ZERO } else { MINUTE };
                    SpendToken { fingerprint, lease, latest, ..ask(key) }
                };
                let answers = (store.spend(&wish).await.unwrap(), model.spend(&wish).await.unwrap());
                assert_eq!(said(answers.0), said(answers.1), "{at}: {wish:?}");
                if !again {
                    asks.push(wish);
                }
            } else {
                let mut held = claim(&asks[choice.below(asks.len())]);
                if choice.chance(5) {
                    held.key.user = "mallory".to_owned();
                }
                let lease = if choice.chance(30) { Duration::ZERO } else { MINUTE };
                let result = vec![u8::try_from(choice.below(2)).unwrap(); choice.below(3)];
                let answers = match roll {
                    60..70 => (store.renew(&held, lease).await, model.renew(&held, lease).await),
                    70..85 => (store.release(&held, LIFE).await, model.release(&held, LIFE).await),
                    _ => (store.complete(&held, &result, HOUR).await, model.complete(&held, &result, HOUR).await),
                };
                assert_eq!(answers.0.unwrap(), answers.1.unwrap(), "{at}: roll {roll} of {held:?}");
            }
            if step % 16 == 15 && store.capabilities().running {
                let all = |store: &Store| {
                    let store = Arc::clone(store);
                    let purpose = purpose.clone();
                    async move { listed(store.running(&purpose, Duration::ZERO, 100).await.unwrap()) }
                };
                let (theirs, ours) = (all(&store).await, all(&model).await);
                assert_eq!(format!("{theirs:?}"), format!("{ours:?}"), "{at}: running");
            }
        }
    }
}
