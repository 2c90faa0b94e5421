//! Logins, beside the same script or statements by the bare driver.
//!
//! `begin` is the client's own, with its random numbers and its seal. `take` is the traffic of a store for a callback: the
//! login is there, is read, is claimed by its version, and its code is spent. The provider's answers are no part of it.

mod redis;
mod sql;

use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::KeyRing;
use onceward_oauth_client::{BrowserBinder, CodeLedger, Digest, FlowStore, OAuthClient, Provider, Stores, TokenVault};
use tokio_util::task::TaskTracker;

use crate::case::{Case, Client, Side};

/// Begin, and take.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "oauth begin; Redis",
            vec![Side::new("plain redis", redis::begin_bare), Side::new("OAuthClient", redis::begin)],
        ),
        Case::new(
            "oauth take; Redis",
            vec![Side::new("plain redis", redis::take_bare), Side::new("stores", redis::take)],
        ),
        Case::new(
            "oauth begin; PostgreSQL",
            vec![Side::new("plain sqlx", sql::begin_bare), Side::new("OAuthClient", sql::begin)],
        ),
        Case::new(
            "oauth take; PostgreSQL",
            vec![Side::new("plain sqlx", sql::take_bare), Side::new("stores", sql::take)],
        ),
    ]
}

/// Begins logins.
#[derive(Debug)]
pub struct Begins {
    oauth: OAuthClient,
    browser: BrowserBinder,
}

impl Begins {
    /// On this store.
    ///
    /// # Panics
    /// Without randomness.
    pub fn new(store: impl FlowStore + CodeLedger + TokenVault) -> Self {
        let provider = Provider::qq("101", "app-key".into(), "http://127.0.0.1:8080/auth/qq/callback")
            .with_origin("http://127.0.0.1:8081");
        let builder = OAuthClient::builder(KeyRing::generate().unwrap(), Stores::new(store), TaskTracker::new());
        let oauth = builder.provider(provider).build().unwrap();
        Self { oauth, browser: BrowserBinder::generate().unwrap() }
    }
}

#[async_trait]
impl Client for Begins {
    async fn turn(&self, _: u64) -> u64 {
        let to = self.oauth.begin("qq", &self.browser, b"/cart").await.unwrap();
        u64::from(!to.url.is_empty())
    }
}

/// What a login does at its stores until its code is sent.
#[derive(Debug)]
pub struct Takes {
    stores: Stores,
    body: Vec<u8>,
}

impl Takes {
    /// On this store.
    pub fn new(store: impl FlowStore + CodeLedger + TokenVault) -> Self {
        Self { stores: Stores::new(store), body: vec![7; BODY] }
    }
}

#[async_trait]
impl Client for Takes {
    async fn turn(&self, turn: u64) -> u64 {
        let Stores { flows, codes, .. } = &self.stores;
        let number = turn.to_be_bytes();
        let (id, code) = (Digest::of("state", &[&number]), Digest::of("code", &[&number]));
        assert!(flows.insert(&id, &self.body, PENDING).await.unwrap());
        let entry = flows.load(&id).await.unwrap().unwrap();
        assert!(flows.replace(&id, entry.version, &entry.body, PENDING).await.unwrap());
        assert!(codes.first_use(&code, DAY).await.unwrap());
        1
    }
}

/// About what a sealed login has.
const BODY: usize = 400;
const PENDING: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// 64 hexadecimal characters, as a digest has.
fn digest(turn: u64) -> String {
    format!("{turn:064x}")
}
