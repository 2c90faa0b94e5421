//! Digests of contents in Redis.

use std::time::Duration;

use async_trait::async_trait;

use super::scripts::{CLAIM, COMPLETE, FORGET, RENEW};
use super::{RedisStore, Reply, number, unreadable};
use crate::digest::hex;
use crate::record::codec::named;
use crate::{Capabilities, ContentAnswer, ContentClaim, ContentKey, ContentSlot, DedupStore, Error, Fingerprint};

impl RedisStore {
    /// The key of the first slot and of the content's own one, under one hash tag.
    fn content_keys(&self, key: &ContentKey) -> (String, Option<String>) {
        let first = self.redis.key(&format!("idem:c:{{{}}}", key.name));
        let own = key.second.map(|second| format!("{first}+{}", hex(second.as_bytes())));
        (first, own)
    }

    fn claimed_key(&self, claim: &ContentClaim) -> String {
        match self.content_keys(&claim.key) {
            (_, Some(own)) if claim.collided => own,
            (first, _) => first,
        }
    }
}

#[async_trait]
impl DedupStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error> {
        let (first, own) = self.content_keys(&ask.key);
        let keys: Vec<_> = std::iter::once(first).chain(own).collect();
        let second = ask.key.second.unwrap_or(Fingerprint::NONE);
        let (lease, tail, names) = (number(ask.lease), number(ask.tail), named(&ask.holder, "", ""));
        let mark = if ask.mark { number(ask.retention) } else { Vec::new() };
        let args = [&ask.owner.as_bytes()[..], second.as_bytes(), &lease, &tail, &names, &mark];
        let (code, one, two, _): Reply = self.redis.run(&CLAIM, &keys, &args).await?;
        Ok(match code.as_str() {
            "first" => ContentAnswer::First {
                attempt: u32::try_from(one).map_err(|_| unreadable())?,
                takeover: two & 1 != 0,
                collided: two & 2 != 0,
            },
            "done" => ContentAnswer::Done,
            "in flight" => ContentAnswer::InFlight { retry_after: Duration::from_millis(one) },
            _ => return Err(unreadable()),
        })
    }

    async fn renew(&self, claim: &ContentClaim, lease: Duration) -> Result<bool, Error> {
        let args = [&claim.owner.as_bytes()[..], &number(lease)];
        Ok(self.redis.run(&RENEW, &[self.claimed_key(claim)], &args).await?)
    }

    async fn complete(&self, claim: &ContentClaim, retention: Duration) -> Result<bool, Error> {
        let args = [&claim.owner.as_bytes()[..], &[], &number(retention)];
        Ok(self.redis.run(&COMPLETE, &[self.claimed_key(claim)], &args).await?)
    }

    async fn release(&self, claim: &ContentClaim) -> Result<bool, Error> {
        let args = [&claim.owner.as_bytes()[..]];
        Ok(self.redis.run(&FORGET, &[self.claimed_key(claim)], &args).await?)
    }

    async fn health(&self) -> Result<(), Error> {
        self.ping().await
    }
}
