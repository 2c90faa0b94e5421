//! Form tokens and content digests, beside the same commands by the bare driver.

mod redis;
mod sql;

use std::sync::Arc;

use async_trait::async_trait;
use onceward_backend::KeyRing;
use onceward_idempotency::{Consume, Dedup, DedupStore, Fingerprint, FormTokens, Marked, Spend, TokenStore};

use crate::case::{Case, Client, Side};

/// A token's whole life, its literal mode, and a content's mark.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "token: issue, claim, complete; Redis",
            vec![Side::new("plain redis", redis::tokens_bare), Side::new("FormTokens", redis::tokens)],
        ),
        Case::new(
            "token: issue, claim, complete; PostgreSQL",
            vec![Side::new("plain sqlx", sql::tokens_bare), Side::new("FormTokens", sql::tokens)],
        ),
        Case::new(
            "token: issue, consume; Redis",
            vec![Side::new("plain redis", redis::literal_bare), Side::new("FormTokens", redis::literal)],
        ),
        Case::new(
            "token: issue, consume; PostgreSQL",
            vec![Side::new("plain sqlx", sql::literal_bare), Side::new("FormTokens", sql::literal)],
        ),
        Case::new(
            "dedup mark; Redis",
            vec![Side::new("plain redis", redis::mark_bare), Side::new("Dedup", redis::mark)],
        ),
        Case::new(
            "dedup mark; PostgreSQL",
            vec![Side::new("plain sqlx", sql::mark_bare), Side::new("Dedup", sql::mark)],
        ),
        Case::new(
            "dedup mark; MariaDB",
            vec![Side::new("plain sqlx", sql::mark_bare_mysql), Side::new("Dedup", sql::mark_mysql)],
        ),
    ]
}

/// Issue, claim, complete.
#[derive(Debug)]
pub struct Tokens(FormTokens);

impl Tokens {
    /// On this store.
    ///
    /// # Panics
    /// Without randomness.
    pub fn new(store: impl TokenStore) -> Self {
        Self(FormTokens::new(Arc::new(store), KeyRing::generate().unwrap()))
    }
}

#[async_trait]
impl Client for Tokens {
    async fn turn(&self, turn: u64) -> u64 {
        let user = user(turn);
        let token = self.0.issue(&user, &Fingerprint::NONE).await.unwrap();
        let Spend::Accepted(claim) = self.0.spend(&user, token.as_str(), &Fingerprint::NONE).await.unwrap() else {
            panic!("a fresh token is accepted")
        };
        claim.complete(RESULT).await.unwrap();
        1
    }
}

/// Issue and consume in the literal mode.
struct Literal(FormTokens);

impl Literal {
    fn new(store: impl TokenStore) -> Self {
        Self(FormTokens::new(Arc::new(store), KeyRing::generate().unwrap()))
    }
}

#[async_trait]
impl Client for Literal {
    async fn turn(&self, turn: u64) -> u64 {
        let user = user(turn);
        let token = self.0.issue_bare(&user).await.unwrap();
        assert_eq!(self.0.consume(&user, &token).await.unwrap(), Consume::Consumed);
        1
    }
}

/// Marks contents that were not there before.
#[derive(Debug)]
pub struct Marks(Dedup);

impl Marks {
    /// On this store.
    ///
    /// # Panics
    /// Never: the scope is a good one.
    pub fn new(store: impl DedupStore) -> Self {
        Self(Dedup::new(Arc::new(store), "bench").unwrap())
    }
}

#[async_trait]
impl Client for Marks {
    async fn turn(&self, turn: u64) -> u64 {
        assert!(matches!(self.0.mark(&turn.to_be_bytes()).await.unwrap(), Marked::New { .. }));
        1
    }
}

const RESULT: &[u8] = b"order 17";

fn user(turn: u64) -> String {
    format!("user-{turn}")
}
