//! One-shot tokens for hidden form fields.

mod claim;
mod config;
mod signed;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use onceward_backend::KeyRing;
use onceward_backend::internal::mark;

pub(crate) use claim::held;
pub use claim::{Claim, Spend};
pub use config::{TokenConfig, TokenMode};
pub use signed::FormToken;

use crate::key::{MAX_USER, check};
use crate::repeat;
use crate::store::{MAX_RESULT, NewToken, SpendToken, TokenKey};
use crate::{ClaimRef, Consume, Error, Fingerprint, Owner, RunningClaim, TokenAnswer, TokenId, TokenStore};

/// Issues one-shot tokens and spends each of them once. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use onceward_backend::KeyRing;
/// use onceward_idempotency::{Fingerprint, FormTokens, MemoryStore, Spend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onceward_idempotency::Error> {
/// let tokens = FormTokens::new(Arc::new(MemoryStore::new()), KeyRing::new(1, [7; 32]));
/// let shown = Fingerprint::parts(["sku-1", "2", "1999"]);
/// let token = tokens.issue("alice", &shown).await?;
///
/// let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown).await? else { panic!() };
/// claim.complete("order 17").await?;
///
/// let again = tokens.spend("alice", token.as_str(), &shown).await?;
/// assert!(matches!(again, Spend::AlreadySpent { result } if result == b"order 17"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FormTokens {
    store: Arc<dyn TokenStore>,
    keys: KeyRing,
    config: Arc<TokenConfig>,
    clock: Clock,
}

type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a claim is settled from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Its work was done: the token is spent, with this result.
    Complete(Vec<u8>),
    /// Its work was not done and never will be: the token is issued again with what is left of its life.
    Release,
}

impl FormTokens {
    /// Tokens in `store`, signed with `keys`, with the default [`TokenConfig`]. Keep the keys where they survive a
    /// restart: tokens signed with a key that is gone are unknown.
    pub fn new(store: Arc<dyn TokenStore>, keys: KeyRing) -> Self {
        Self { store, keys, config: Arc::new(TokenConfig::default()), clock: Arc::new(SystemTime::now) }
    }

    /// Sets the configuration.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] or [`Error::Config`] if it makes no sense.
    pub fn with_config(mut self, config: TokenConfig) -> Result<Self, Error> {
        self.config = Arc::new(config.checked()?);
        Ok(self)
    }

    /// Sets where the expiry that is signed into a token is read from. Only used to tell [`Spend::Expired`] from
    /// [`Spend::Unknown`] once the store has forgotten a token; lives and leases are measured by the store.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(now);
        self
    }

    /// Makes a token for a user's page, bound to what the page shows. Its life is fixed now.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the user id is not 1 to 128 bytes of visible ASCII; [`Error::Backend`].
    #[tracing::instrument(name = "onceward.idempotency.issue", skip_all)]
    pub async fn issue(&self, user: &str, fingerprint: &Fingerprint) -> Result<FormToken, Error> {
        check("the user id", user, MAX_USER)?;
        let key = self.key(user, TokenId::random());
        let token = FormToken::sign(&self.keys, &key, (self.clock)() + self.config.ttl);
        let new = NewToken {
            key,
            fingerprint: *fingerprint,
            ttl: self.config.ttl,
            tombstone: self.config.tombstone,
            latest: self.config.mode == TokenMode::LatestWins,
        };
        repeat::owned(&self.config.retry, || self.store.issue(&new)).await?;
        count("issued");
        Ok(token)
    }

    /// The id of a token that was made for this user and purpose; `None` for any other string. Asks no store, so it says
    /// nothing of expiry or use: look your order up by the id first, then [`spend`](Self::spend).
    pub fn open(&self, user: &str, token: &str) -> Option<TokenId> {
        check("the user id", user, MAX_USER).ok()?;
        signed::verify(&self.keys, &self.config.purpose, user, token).map(|(id, _)| id)
    }

    /// The wish to spend a token, for a store's `spend_tx`; `None` if it was not made for this user and purpose.
    pub fn request(&self, user: &str, token: &str, fingerprint: &Fingerprint) -> Option<SpendToken> {
        check("the user id", user, MAX_USER).ok()?;
        let (id, expires) = signed::verify(&self.keys, &self.config.purpose, user, token)?;
        Some(SpendToken {
            key: self.key(user, id),
            fingerprint: *fingerprint,
            owner: Owner::random(),
            holder: self.config.holder.clone(),
            lease: self.config.lease,
            tail: self.config.tail,
            retention: self.config.retention,
            latest: self.config.mode == TokenMode::LatestWins,
            outlived: expires <= (self.clock)(),
        })
    }

    /// Spends a token in two phases: [`Spend::Accepted`] hands over a [`Claim`] with a lease, which ends in `complete` or
    /// `release`. Of any number of calls for one token at most one holds a live claim.
    ///
    /// # Cancel safety
    /// If the future is dropped the claim may have been made; its lease ends it.
    ///
    /// # Errors
    /// [`Error::Backend`]; after an unknown outcome it was repeated as the configuration allows.
    #[tracing::instrument(name = "onceward.idempotency.spend", skip_all)]
    pub async fn spend(&self, user: &str, token: &str, fingerprint: &Fingerprint) -> Result<Spend, Error> {
        let Some(ask) = self.request(user, token, fingerprint) else {
            count("forged");
            return Ok(Spend::Unknown);
        };
        let answer = repeat::owned(&self.config.retry, || self.store.spend(&ask)).await?;
        count(label(&answer));
        Ok(match answer {
            TokenAnswer::Accepted { attempt, takeover } => {
                if takeover {
                    metrics::counter!("onceward_idempotency_takeovers_total", "of" => "token").increment(1);
                }
                mark("idempotency.token_claimed");
                let reference = ClaimRef { key: ask.key, owner: ask.owner };
                Spend::Accepted(Claim::new(self.clone(), reference, attempt, takeover))
            }
            TokenAnswer::AlreadySpent { result } => Spend::AlreadySpent { result },
            TokenAnswer::InFlight { retry_after } => Spend::InFlight { retry_after },
            TokenAnswer::Superseded => Spend::Superseded,
            TokenAnswer::Expired => Spend::Expired,
            TokenAnswer::Mismatch => Spend::Mismatch,
            TokenAnswer::Absent if ask.outlived => Spend::Expired,
            TokenAnswer::Absent => Spend::Unknown,
        })
    }

    /// Claims of this purpose that run for at least `older_than`; `Duration::ZERO` lists all. An audit and the first half
    /// of recovery; its cost grows with the number of records (Redis: a walk over all keys).
    ///
    /// # Errors
    /// [`Error::Unsupported`] or [`Error::Backend`].
    pub async fn running(&self, older_than: Duration, limit: usize) -> Result<Vec<RunningClaim>, Error> {
        repeat::owned(&self.config.retry, || self.store.running(&self.config.purpose, older_than, limit)).await
    }

    /// Ends a claim whose process is dead, as its own process would have. False, with nothing changed, if that attempt
    /// does not hold the claim any more.
    ///
    /// Only call it when the attempt is known to be over: its process is dead, or its lease has passed and what it worked
    /// on is decided.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::Backend`].
    pub async fn settle(&self, claim: &ClaimRef, how: Settle) -> Result<bool, Error> {
        let held = match how {
            Settle::Complete(result) => self.complete(claim, &result).await?,
            Settle::Release => self.release(claim).await?,
        };
        count(if held { "settled" } else { "not_settled" });
        Ok(held)
    }

    /// The literal mode: puts a fresh bare UUID under exactly [`bare_prefix`](TokenConfig::bare_prefix) + user, for the
    /// configured life, at most 30 minutes. A second page of the same user overwrites the first one's.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] or [`Error::Backend`].
    pub async fn issue_bare(&self, user: &str) -> Result<String, Error> {
        check("the user id", user, MAX_USER)?;
        let (key, value) = (self.bare_key(user), TokenId::random().to_string());
        let ttl = self.config.ttl.min(config::LONGEST_BARE);
        repeat::unowned(&self.config.retry, || self.store.issue_bare(&key, &value, ttl)).await?;
        Ok(value)
    }

    /// The literal mode: deletes the user's key if it holds exactly `token`, in one step. The order is lost if the
    /// process dies after this and before the work; [`spend`](Self::spend) does not have that hole.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] or [`Error::Backend`]; after an unknown outcome ([`Error::is_unknown`]) the token may be
    /// consumed, and asking again would call its own success a repeat.
    #[tracing::instrument(name = "onceward.idempotency.consume", skip_all)]
    pub async fn consume(&self, user: &str, token: &str) -> Result<Consume, Error> {
        check("the user id", user, MAX_USER)?;
        // Whatever else was posted cannot be a value of ours.
        if token.parse::<TokenId>().is_ok_and(|id| id.to_string() == token) {
            let key = self.bare_key(user);
            repeat::unowned(&self.config.retry, || self.store.consume_bare(&key, token)).await
        } else {
            Ok(Consume::Different)
        }
    }

    /// Fails if the store cannot be used now.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn health(&self) -> Result<(), Error> {
        self.store.health().await
    }

    async fn complete(&self, claim: &ClaimRef, result: &[u8]) -> Result<bool, Error> {
        if result.len() > MAX_RESULT {
            return Err(Error::TooLarge { size: result.len(), limit: MAX_RESULT });
        }
        let done = repeat::owned(&self.config.retry, || self.store.complete(claim, result, self.config.retention));
        let held = done.await?;
        mark("idempotency.token_completed");
        Ok(held)
    }

    async fn release(&self, claim: &ClaimRef) -> Result<bool, Error> {
        repeat::owned(&self.config.retry, || self.store.release(claim, self.config.tombstone)).await
    }

    async fn renew(&self, claim: &ClaimRef) -> Result<bool, Error> {
        repeat::owned(&self.config.retry, || self.store.renew(claim, self.config.lease)).await
    }

    fn key(&self, user: &str, id: TokenId) -> TokenKey {
        TokenKey { purpose: self.config.purpose.clone(), user: user.to_owned(), id }
    }

    fn bare_key(&self, user: &str) -> String {
        format!("{}{user}", self.config.bare_prefix)
    }
}

impl fmt::Debug for FormTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormTokens").field("store", &self.store).field("config", &self.config).finish_non_exhaustive()
    }
}

fn count(answer: &'static str) {
    metrics::counter!("onceward_idempotency_tokens_total", "answer" => answer).increment(1);
}

const fn label(answer: &TokenAnswer) -> &'static str {
    match answer {
        TokenAnswer::Accepted { .. } => "accepted",
        TokenAnswer::AlreadySpent { .. } => "already_spent",
        TokenAnswer::InFlight { .. } => "in_flight",
        TokenAnswer::Superseded => "superseded",
        TokenAnswer::Expired => "expired",
        TokenAnswer::Mismatch => "mismatch",
        TokenAnswer::Absent => "absent",
    }
}
