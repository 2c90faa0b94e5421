//! The services over a memory store whose replies can be lost.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use onceward_backend::{BackendError, ErrorClass, KeyRing, RetryPolicy};
use onceward_idempotency::{
    Capabilities, ClaimRef, Consume, ContentAnswer, ContentClaim, ContentSlot, Dedup, DedupConfig, DedupStore, Error,
    Fingerprint, FirstTime, FormTokens, MAX_RESULT, Marked, MemoryStore, NewToken, RunningClaim, Settle, Spend,
    SpendToken, TokenAnswer, TokenConfig, TokenMode, TokenStore, async_trait,
};

/// What happens to the next calls: nothing, the reply is lost after the work, or the store was not reached.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LostReply,
    Unreached,
}

/// A memory store behind a bad wire.
#[derive(Clone, Debug, Default)]
struct Wire {
    store: MemoryStore,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Wire {
    fn fail(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    async fn call<T>(&self, name: &'static str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.calls.lock().unwrap().push(name);
        let fault = self.faults.lock().unwrap().pop_front();
        let broken = |class| Err(BackendError::new("test", class, "on purpose").into());
        match fault {
            None => work.await,
            Some(Fault::Unreached) => broken(ErrorClass::Unavailable),
            Some(Fault::LostReply) => {
                work.await?;
                broken(ErrorClass::Unknown)
            }
        }
    }
}

#[async_trait]
impl TokenStore for Wire {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn issue(&self, token: &NewToken) -> Result<(), Error> {
        self.call("issue", self.store.issue(token)).await
    }

    async fn spend(&self, ask: &SpendToken) -> Result<TokenAnswer, Error> {
        self.call("spend", self.store.spend(ask)).await
    }

    async fn renew(&self, claim: &ClaimRef, lease: Duration) -> Result<bool, Error> {
        self.call("renew", TokenStore::renew(&self.store, claim, lease)).await
    }

    async fn complete(&self, claim: &ClaimRef, result: &[u8], retention: Duration) -> Result<bool, Error> {
        self.call("complete", TokenStore::complete(&self.store, claim, result, retention)).await
    }

    async fn release(&self, claim: &ClaimRef, tombstone: Duration) -> Result<bool, Error> {
        self.call("release", TokenStore::release(&self.store, claim, tombstone)).await
    }

    async fn running(&self, purpose: &str, older_than: Duration, limit: usize) -> Result<Vec<RunningClaim>, Error> {
        self.call("running", self.store.running(purpose, older_than, limit)).await
    }

    async fn issue_bare(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        self.call("issue_bare", self.store.issue_bare(key, value, ttl)).await
    }

    async fn consume_bare(&self, key: &str, value: &str) -> Result<Consume, Error> {
        self.call("consume_bare", self.store.consume_bare(key, value)).await
    }

    async fn health(&self) -> Result<(), Error> {
        self.call("health", TokenStore::health(&self.store)).await
    }
}

#[async_trait]
impl DedupStore for Wire {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error> {
        self.call("claim", self.store.claim(ask)).await
    }

    async fn renew(&self, claim: &ContentClaim, lease: Duration) -> Result<bool, Error> {
        self.call("renew", DedupStore::renew(&self.store, claim, lease)).await
    }

    async fn complete(&self, claim: &ContentClaim, retention: Duration) -> Result<bool, Error> {
        self.call("complete", DedupStore::complete(&self.store, claim, retention)).await
    }

    async fn release(&self, claim: &ContentClaim) -> Result<bool, Error> {
        self.call("release", DedupStore::release(&self.store, claim)).await
    }

    async fn health(&self) -> Result<(), Error> {
        self.call("health", DedupStore::health(&self.store)).await
    }
}

fn quick() -> RetryPolicy {
    RetryPolicy::exponential().with_base(Duration::from_millis(1)).with_attempts(3)
}

fn tokens(wire: &Wire) -> FormTokens {
    let config = TokenConfig::default().with_retry(quick()).with_holder("shop-1");
    FormTokens::new(Arc::new(wire.clone()), KeyRing::new(1, [7; 32])).with_config(config).unwrap()
}

fn shown() -> Fingerprint {
    Fingerprint::of("shown")
}

#[tokio::test]
async fn a_4xx_leaves_the_token_unspent() {
    let tokens = tokens(&Wire::default());
    let token = tokens.issue("alice", &shown()).await.unwrap();
    for attempt in 1..=3 {
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        assert_eq!((claim.attempt(), claim.is_takeover(), claim.id()), (attempt, false, token.id()));
        claim.release().await.unwrap();
    }
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    claim.renew().await.unwrap();
    claim.complete("order 1").await.unwrap();
    let again = tokens.spend("alice", token.as_str(), &Fingerprint::NONE).await.unwrap();
    assert!(matches!(again, Spend::AlreadySpent { result } if result == b"order 1"));
}

#[tokio::test]
async fn a_forged_or_foreign_token_never_reaches_the_store() {
    let wire = Wire::default();
    let tokens = tokens(&wire);
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let refunds = tokens.clone().with_config(TokenConfig::default().with_purpose("refund")).unwrap();
    let stranger = FormTokens::new(Arc::new(wire.clone()), KeyRing::new(1, [8; 32]));
    wire.calls();
    for (tokens, user, text) in [
        (&tokens, "bob", token.as_str()),
        (&tokens, "alice", &token.as_str()[1..]),
        (&tokens, "alice", ""),
        (&tokens, "not an id", token.as_str()),
        (&tokens, "alice", &*token.id().to_string()),
        (&refunds, "alice", token.as_str()),
        (&stranger, "alice", token.as_str()),
    ] {
        assert_eq!(tokens.open(user, text), None);
        assert!(matches!(tokens.spend(user, text, &shown()).await.unwrap(), Spend::Unknown), "{user}");
    }
    assert!(wire.calls().is_empty());
    assert_eq!(tokens.open("alice", token.as_str()), Some(token.id()));
}

#[tokio::test]
async fn a_token_that_the_store_forgot_is_expired_only_if_its_signature_says_so() {
    let now = Arc::new(Mutex::new(SystemTime::now()));
    let clock = Arc::clone(&now);
    let issuer = tokens(&Wire::default());
    // Another store: as after a restart that kept nothing.
    let tokens = tokens(&Wire::default()).with_clock(move || *clock.lock().unwrap());
    let token = issuer.issue("alice", &shown()).await.unwrap();
    assert!(matches!(tokens.spend("alice", token.as_str(), &shown()).await.unwrap(), Spend::Unknown));
    *now.lock().unwrap() += Duration::from_secs(31 * 60);
    assert!(matches!(tokens.spend("alice", token.as_str(), &shown()).await.unwrap(), Spend::Expired));
}

/// The store alone judges a life that it knows, however wrong the clock of this process is.
#[tokio::test]
async fn a_stepped_clock_neither_expires_nor_revives_a_token() {
    for offset in [-3600_i64, 3600] {
        let now = SystemTime::now();
        let offset_now = if offset < 0 { now - Duration::from_secs(3600) } else { now + Duration::from_secs(3600) };
        let tokens = tokens(&Wire::default());
        let token = tokens.issue("alice", &shown()).await.unwrap();
        let skewed = tokens.with_clock(move || offset_now);
        assert!(matches!(skewed.spend("alice", token.as_str(), &shown()).await.unwrap(), Spend::Accepted(_)));
    }
}

#[tokio::test]
async fn lost_replies_are_asked_again_by_the_same_owner() {
    use Fault::{LostReply, Unreached};
    let wire = Wire::default();
    let tokens = tokens(&wire);
    for faults in [[LostReply, LostReply], [LostReply, Unreached], [Unreached, LostReply]] {
        wire.fail(&faults);
        let token = tokens.issue("alice", &shown()).await.unwrap();
        wire.fail(&faults);
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        assert_eq!(claim.attempt(), 1);
        wire.fail(&faults);
        claim.renew().await.unwrap();
        wire.fail(&faults);
        claim.release().await.unwrap();
        let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
        wire.fail(&faults);
        claim.complete("done").await.unwrap();
        wire.calls();
        assert!(matches!(tokens.spend("alice", token.as_str(), &shown()).await.unwrap(), Spend::AlreadySpent { .. }));
        assert_eq!(wire.calls(), ["spend"]);
    }
}

#[tokio::test]
async fn an_unknown_outcome_that_outlasts_the_repeats_is_told_and_its_claim_can_be_settled() {
    let wire = Wire::default();
    let tokens = tokens(&wire);
    let token = tokens.issue("alice", &shown()).await.unwrap();
    wire.fail(&[Fault::LostReply; 3]);
    assert!(tokens.spend("alice", token.as_str(), &shown()).await.unwrap_err().is_unknown());
    let running = tokens.running(Duration::ZERO, 10).await.unwrap();
    assert_eq!((running.len(), running[0].claim.id(), running[0].holder.as_str()), (1, token.id(), "shop-1"));
    assert!(tokens.settle(&running[0].claim, Settle::Release).await.unwrap());
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };

    let reference = claim.reference().clone();
    wire.fail(&[Fault::LostReply; 3]);
    assert!(claim.complete("order 1").await.unwrap_err().is_unknown());
    assert!(tokens.settle(&reference, Settle::Complete(b"order 1".to_vec())).await.unwrap());
    assert!(!tokens.settle(&reference, Settle::Release).await.unwrap());
    assert!(tokens.running(Duration::ZERO, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_claim_blocks_until_its_lease_ends_and_is_then_taken_over() {
    let config = TokenConfig::default().with_lease(Duration::from_millis(100));
    let tokens = tokens(&Wire::default()).with_config(config).unwrap();
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let Spend::Accepted(first) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    let key = first.downstream_key("pay");
    drop(first);
    let taken = testkit::eventually(Duration::from_secs(10), async || {
        match tokens.spend("alice", token.as_str(), &shown()).await.unwrap() {
            Spend::Accepted(claim) => Ok(claim),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(taken.is_takeover() && taken.attempt() == 2);
    assert_eq!(taken.downstream_key("pay"), key, "a payment that was begun is resumed");
    assert_ne!(taken.downstream_key("mail"), key);
}

#[tokio::test]
async fn a_result_above_the_limit_is_refused_before_the_store() {
    let wire = Wire::default();
    let tokens = tokens(&wire);
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    let reference = claim.reference().clone();
    wire.calls();
    assert!(matches!(claim.complete(vec![0; MAX_RESULT + 1]).await, Err(Error::TooLarge { .. })));
    assert!(wire.calls().is_empty());
    assert!(tokens.settle(&reference, Settle::Complete(vec![0; MAX_RESULT])).await.unwrap());
}

#[tokio::test]
async fn users_that_a_store_would_confuse_are_refused() {
    let tokens = tokens(&Wire::default());
    for user in ["", "a b", "a\n", "用户"] {
        assert!(matches!(tokens.issue(user, &shown()).await, Err(Error::InvalidKey { .. })), "{user:?}");
        assert!(matches!(tokens.issue_bare(user).await, Err(Error::InvalidKey { .. })), "{user:?}");
    }
}

#[tokio::test]
async fn only_the_newest_page_counts_if_so_configured() {
    let config = TokenConfig::default().with_mode(TokenMode::LatestWins);
    let tokens = tokens(&Wire::default()).with_config(config).unwrap();
    let old = tokens.issue("alice", &shown()).await.unwrap();
    let new = tokens.issue("alice", &shown()).await.unwrap();
    assert!(matches!(tokens.spend("alice", old.as_str(), &shown()).await.unwrap(), Spend::Superseded));
    assert!(matches!(tokens.spend("alice", new.as_str(), &shown()).await.unwrap(), Spend::Accepted(_)));
}

#[tokio::test]
async fn the_literal_mode_is_never_asked_twice_after_an_unknown_outcome() {
    let wire = Wire::default();
    let tokens = tokens(&wire);
    let value = tokens.issue_bare("alice").await.unwrap();
    wire.calls();
    wire.fail(&[Fault::LostReply]);
    assert!(tokens.consume("alice", &value).await.unwrap_err().is_unknown());
    assert_eq!(wire.calls(), ["consume_bare"]);
    // Why: the second question denies the first one's success.
    assert_eq!(tokens.consume("alice", &value).await.unwrap(), Consume::Absent);
    wire.calls();

    let value = tokens.issue_bare("alice").await.unwrap();
    wire.fail(&[Fault::Unreached, Fault::Unreached]);
    assert_eq!(tokens.consume("alice", &value).await.unwrap(), Consume::Consumed, "nothing happened twice");
}

#[tokio::test]
async fn the_literal_mode_consumes_nothing_but_a_uuid() {
    let wire = Wire::default();
    let tokens = tokens(&wire);
    let value = tokens.issue_bare("alice").await.unwrap();
    wire.calls();
    for wrong in ["", &value.to_uppercase(), &value.replace('-', ""), &format!("{value} "), &format!("{{{value}}}")] {
        assert_eq!(tokens.consume("alice", wrong).await.unwrap(), Consume::Different, "{wrong:?}");
    }
    assert!(wire.calls().is_empty());
    assert_eq!(tokens.consume("alice", &value).await.unwrap(), Consume::Consumed);
}

#[tokio::test]
async fn a_lost_reply_neither_loses_nor_repeats_a_content() {
    let wire = Wire::default();
    let config = DedupConfig::default().with_retry(quick());
    let dedup = Dedup::new(Arc::new(wire.clone()), "invoices").unwrap().with_config(config).unwrap();
    for content in 0..3_u8 {
        wire.fail(&[Fault::LostReply, Fault::Unreached]);
        let FirstTime::First(work) = dedup.first_time(&[content]).await.unwrap() else { panic!() };
        assert_eq!((work.attempt(), work.is_takeover(), work.collided()), (1, false, false));
        wire.fail(&[Fault::LostReply, Fault::LostReply]);
        work.renew().await.unwrap();
        wire.fail(&[Fault::LostReply, Fault::LostReply]);
        work.complete().await.unwrap();
        assert!(matches!(dedup.first_time(&[content]).await.unwrap(), FirstTime::Done));
    }
    wire.fail(&[Fault::LostReply, Fault::LostReply]);
    assert_eq!(dedup.mark(b"marked").await.unwrap(), Marked::New { collided: false });
    assert_eq!(dedup.mark(b"marked").await.unwrap(), Marked::Seen);

    wire.fail(&[Fault::LostReply, Fault::LostReply]);
    let FirstTime::First(work) = dedup.first_time(b"refused").await.unwrap() else { panic!() };
    wire.fail(&[Fault::LostReply, Fault::LostReply]);
    work.release().await.unwrap();
    assert!(matches!(dedup.first_time(b"refused").await.unwrap(), FirstTime::First(_)));
}

#[tokio::test]
async fn marking_first_loses_the_content_of_a_process_that_dies_and_claiming_first_does_not() {
    let config = DedupConfig::default().with_lease(Duration::from_millis(50));
    let dedup = Dedup::new(Arc::new(MemoryStore::new()), "invoices").unwrap().with_config(config).unwrap();
    assert_eq!(dedup.mark(b"one").await.unwrap(), Marked::New { collided: false });
    let FirstTime::First(work) = dedup.first_time(b"two").await.unwrap() else { panic!() };
    // The process dies here, with both unprocessed.
    drop(work);
    let work = testkit::eventually(Duration::from_secs(10), async || match dedup.first_time(b"two").await.unwrap() {
        FirstTime::First(work) => Ok(work),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(work.is_takeover());
    assert!(matches!(dedup.first_time(b"one").await.unwrap(), FirstTime::Done), "lost, as documented");
}

#[tokio::test]
async fn a_store_without_second_digests_is_not_asked_to_verify() {
    let dedup = Dedup::new(Arc::new(Wire::default()), "invoices").unwrap();
    let refused = dedup.with_config(DedupConfig::default().with_verified(true));
    assert!(matches!(refused, Err(Error::Unsupported(_))));
    assert!(matches!(Dedup::new(Arc::new(MemoryStore::new()), "two words"), Err(Error::InvalidKey { .. })));
}
