//! Logins, codes and tokens in Redis: one key for each, one script for each method.

mod layout;
mod scripts;

use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::{BackendError, ErrorClass, Redis, RedisScript};

use self::layout::{Head, NO_TOKENS};
use self::scripts::{DELETE_TOKENS, READ, STORE_TOKENS, WRITE};
use super::{CodeLedger, Entry, FlowStore, Stored, TokenVault};
use crate::{Digest, random};

/// The 90 days of QQ and a margin.
const TOKEN_LIFE: Duration = Duration::from_secs(100 * 86_400);
/// By then no call that deleted tokens is still being repeated.
const DELETION: Duration = Duration::from_secs(60);

/// Logins, codes and tokens in Redis, tested on 7.0. A clone is the same store.
///
/// Keys, after the prefix of the [`Redis`] handle; `HEX` is a digest in hexadecimal:
///
/// | key | holds | lives |
/// |---|---|---|
/// | `oauth:flow:HEX` | a login, sealed | as long as the client asks: while it is pending or running, or its answer is kept |
/// | `oauth:code:HEX` | that the code was sent | as long as the client asks |
/// | `oauth:token:HEX` | the tokens of an account, sealed | from its last write on for [`with_token_life`](Self::with_token_life) |
/// | the same | that tokens were deleted, and by which call | a minute |
///
/// Every key has a time to live, so there is nothing to purge. Every method is one script on one key, hence one round
/// trip and, on a cluster, one slot whatever the key; the tests run on a single server.
///
/// **Time.** Lives and ages are on Redis' clock alone: the age of a login is what has gone of its key's time to live. The
/// clocks of the processes do not matter. The client's [`Clock`](crate::Clock) decides when a token has expired; the life of
/// its key only bounds how long it lies there.
///
/// **Lost answers.** Each call has a random number of its own, which its record keeps. A call whose answer was lost is sent
/// again, finds its number, and answers as it did the first time. The exception is a write that somebody else has
/// replaced in the meantime: its repeat answers `false`. Versions of tokens are such numbers too: none ever comes back,
/// whatever was deleted or forgotten in between.
#[derive(Clone, Debug)]
pub struct RedisStore {
    redis: Redis,
    token_life: Duration,
}

impl RedisStore {
    /// A store on this server, under the prefix of `redis`.
    #[must_use]
    pub const fn new(redis: Redis) -> Self {
        Self { redis, token_life: TOKEN_LIFE }
    }

    /// Sets how long tokens are kept after they were written; 100 days. An account whose tokens are gone logs in again,
    /// so this is to be longer than the longest life that a provider gives its tokens.
    #[must_use]
    pub const fn with_token_life(mut self, life: Duration) -> Self {
        self.token_life = life;
        self
    }

    async fn read(&self, key: String) -> Result<Option<(Vec<u8>, i64)>, BackendError> {
        self.redis.run(&READ, &[key], &[]).await
    }

    /// Writes a record of this head where `expected` is.
    async fn write(&self, key: String, expected: &[u8], record: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        self.changed(&WRITE, key, &[expected, record, &number(millis(ttl))]).await
    }

    async fn changed(&self, script: &RedisScript, key: String, args: &[&[u8]]) -> Result<bool, BackendError> {
        self.redis.run(script, &[key], args).await
    }

    fn flow_key(&self, id: &Digest) -> String {
        self.redis.key(&format!("oauth:flow:{}", id.to_hex()))
    }

    fn code_key(&self, code: &Digest) -> String {
        self.redis.key(&format!("oauth:code:{}", code.to_hex()))
    }

    fn token_key(&self, account: &Digest) -> String {
        self.redis.key(&format!("oauth:token:{}", account.to_hex()))
    }
}

#[async_trait]
impl FlowStore for RedisStore {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let record = layout::write_flow(Head { version: 1, call: call()? }, millis(ttl), body);
        self.write(self.flow_key(id), &[], &record, ttl).await
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        let Some((record, left)) = self.read(self.flow_key(id)).await? else { return Ok(None) };
        layout::read_flow(&record, u64::try_from(left).unwrap_or(0)).map(Some)
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let head = Head { version: version.wrapping_add(1), call: call()? };
        let record = layout::write_flow(head, millis(ttl), body);
        self.write(self.flow_key(id), &layout::expected(version), &record, ttl).await
    }

    async fn purge_flows(&self, _limit: u32) -> Result<u64, BackendError> {
        Ok(0)
    }
}

#[async_trait]
impl CodeLedger for RedisStore {
    async fn first_use(&self, code: &Digest, ttl: Duration) -> Result<bool, BackendError> {
        let record = Head { version: 1, call: call()? }.to_bytes();
        self.write(self.code_key(code), &[], &record, ttl).await
    }

    async fn purge_codes(&self, _limit: u32) -> Result<u64, BackendError> {
        Ok(0)
    }
}

#[async_trait]
impl TokenVault for RedisStore {
    async fn load_tokens(&self, account: &Digest) -> Result<Option<Stored>, BackendError> {
        let Some((record, _)) = self.read(self.token_key(account)).await? else { return Ok(None) };
        layout::read_tokens(&record)
    }

    async fn store_tokens_if(
        &self,
        account: &Digest,
        expected: Option<i64>,
        body: &[u8],
    ) -> Result<bool, BackendError> {
        if expected == Some(NO_TOKENS) {
            return Ok(false);
        }
        let expected = expected.unwrap_or(NO_TOKENS).to_be_bytes();
        let args = [&expected, &call()?[..], body, &number(millis(self.token_life))];
        self.changed(&STORE_TOKENS, self.token_key(account), &args).await
    }

    async fn delete_tokens(&self, account: &Digest) -> Result<bool, BackendError> {
        let args = [&call()?[..], &number(millis(DELETION))];
        self.changed(&DELETE_TOKENS, self.token_key(account), &args).await
    }
}

/// The number of a call: positive, so that it is a version of tokens too.
fn call() -> Result<[u8; 8], BackendError> {
    let mut bytes = [0; 8];
    random::fill(&mut bytes).map_err(|error| BackendError::new("random", ErrorClass::Unavailable, error))?;
    Ok((i64::from_be_bytes(bytes) & i64::MAX).max(1).to_be_bytes())
}

/// A life as Redis takes it: never shorter than asked, and for ever is a century.
fn millis(ttl: Duration) -> u64 {
    const LONGEST: u128 = 100 * 366 * 86_400 * 1_000;
    u64::try_from(ttl.as_nanos().div_ceil(1_000_000).clamp(1, LONGEST)).unwrap_or(u64::MAX)
}

fn number(value: u64) -> Vec<u8> {
    value.to_string().into_bytes()
}
