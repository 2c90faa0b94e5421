//! Form tokens in Redis.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::redis::cmd;

use super::scripts::{COMPLETE, CONSUME, ISSUE_LATEST, RELEASE, RENEW, RUNNING, SPEND};
use super::{RedisStore, Reply, number, set, unreadable};
use crate::digest::hex;
use crate::record::codec;
use crate::{
    Capabilities, ClaimRef, Consume, Error, Fingerprint, NewToken, RunningClaim, SpendToken, TokenAnswer, TokenId,
    TokenKey, TokenStore,
};

const FAMILY: &str = "idem:t:";

impl RedisStore {
    /// The keys of a token and of the user's pointer. All of one user's share a hash tag, which shows no user id.
    fn token_keys(&self, key: &TokenKey) -> (String, String) {
        let tag = hex(&Fingerprint::parts([&key.purpose, &key.user]).as_bytes()[..16]);
        let name = |last: &str| self.redis.key(&format!("{FAMILY}{{{tag}}}:{last}"));
        (name(&key.id.to_string()), name("latest"))
    }

    async fn claims_among(&self, keys: &[String]) -> Result<Vec<RunningClaim>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<(String, Vec<u8>, u64)> = self.redis.run(&RUNNING, keys, &[]).await?;
        let claim = |(key, record, ttl): (String, Vec<u8>, u64)| {
            let id: TokenId = key.rsplit(':').next()?.parse().ok()?;
            codec::running(id, &record, ttl)
        };
        Ok(found.into_iter().filter_map(claim).collect())
    }
}

#[async_trait]
impl TokenStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn issue(&self, new: &NewToken) -> Result<(), Error> {
        let (record, pointer) = self.token_keys(&new.key);
        let (bytes, ttl) = (codec::issued(new), new.ttl + new.tombstone);
        if new.latest {
            let id = new.key.id.to_string();
            let args = [&bytes[..], id.as_bytes(), &number(ttl)];
            self.redis.run::<()>(&ISSUE_LATEST, &[record, pointer], &args).await?;
        } else {
            self.redis.command::<()>(set(&record, &bytes, ttl).arg("NX")).await?;
        }
        Ok(())
    }

    async fn spend(&self, ask: &SpendToken) -> Result<TokenAnswer, Error> {
        let (record, pointer) = self.token_keys(&ask.key);
        let keys = if ask.latest { vec![record, pointer] } else { vec![record] };
        let (lease, tail, id) = (number(ask.lease), number(ask.tail), ask.key.id.to_string());
        let args = [
            &ask.owner.as_bytes()[..],
            ask.fingerprint.as_bytes(),
            &lease,
            &tail,
            ask.holder.as_bytes(),
            id.as_bytes(),
        ];
        let (code, one, two, bytes): Reply = self.redis.run(&SPEND, &keys, &args).await?;
        Ok(match code.as_str() {
            "accepted" => {
                TokenAnswer::Accepted { attempt: u32::try_from(one).map_err(|_| unreadable())?, takeover: two != 0 }
            }
            "spent" => TokenAnswer::AlreadySpent { result: bytes },
            "in flight" => TokenAnswer::InFlight { retry_after: Duration::from_millis(one) },
            "superseded" => TokenAnswer::Superseded,
            "expired" => TokenAnswer::Expired,
            "mismatch" => TokenAnswer::Mismatch,
            "absent" => TokenAnswer::Absent,
            _ => return Err(unreadable()),
        })
    }

    async fn renew(&self, claim: &ClaimRef, lease: Duration) -> Result<bool, Error> {
        let args = [&claim.owner.as_bytes()[..], &number(lease)];
        Ok(self.redis.run(&RENEW, &[self.token_keys(&claim.key).0], &args).await?)
    }

    async fn complete(&self, claim: &ClaimRef, result: &[u8], retention: Duration) -> Result<bool, Error> {
        let args = [&claim.owner.as_bytes()[..], result, &number(retention)];
        Ok(self.redis.run(&COMPLETE, &[self.token_keys(&claim.key).0], &args).await?)
    }

    async fn release(&self, claim: &ClaimRef, tombstone: Duration) -> Result<bool, Error> {
        let args = [&claim.owner.as_bytes()[..], &number(tombstone)];
        Ok(self.redis.run(&RELEASE, &[self.token_keys(&claim.key).0], &args).await?)
    }

    /// Walks over all keys of the database, a page at a time: an audit, not a query.
    async fn running(&self, purpose: &str, older_than: Duration, limit: usize) -> Result<Vec<RunningClaim>, Error> {
        const PAGE: usize = 1000;
        let pattern = format!("{}*", escaped(&self.redis.key(FAMILY)));
        let (mut cursor, mut seen, mut running) = (0_u64, HashSet::new(), Vec::new());
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE).arg("TYPE").arg("string");
            let (next, keys): (u64, Vec<String>) = self.redis.command(&scan).await?;
            // A walk may visit a key twice.
            let claims = self.claims_among(&keys).await?.into_iter().filter(|found| {
                found.claim.key.purpose == purpose
                    && found.running_for >= older_than
                    && seen.insert(found.claim.clone())
            });
            running.extend(claims);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        running.sort_by_key(|claim| std::cmp::Reverse(claim.running_for));
        running.truncate(limit);
        Ok(running)
    }

    /// The key is used as it is, without the handle's prefix.
    async fn issue_bare(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        Ok(self.redis.command(&set(key, value.as_bytes(), ttl)).await?)
    }

    async fn consume_bare(&self, key: &str, value: &str) -> Result<Consume, Error> {
        Ok(match self.redis.run::<i64>(&CONSUME, &[key.to_owned()], &[value.as_bytes()]).await? {
            1 => Consume::Consumed,
            0 => Consume::Different,
            _ => Consume::Absent,
        })
    }

    async fn health(&self) -> Result<(), Error> {
        self.ping().await
    }
}

/// A prefix as a pattern that matches itself only.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
