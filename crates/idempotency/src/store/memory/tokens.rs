//! Form tokens in memory.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::shards::Expires;
use super::{Bare, Hold, MemoryStore};
use crate::{
    Capabilities, ClaimRef, Consume, Error, Fingerprint, NewToken, Owner, Record, RunningClaim, SpendToken, State,
    TokenAnswer, TokenKey, TokenStore, Verdict,
};

pub(super) struct Token {
    key: TokenKey,
    state: State,
    fingerprint: Fingerprint,
    expires: Instant,
    hold: Hold,
    result: Vec<u8>,
    until: Instant,
}

impl Expires for Token {
    fn until(&self) -> Instant {
        self.until
    }
}

impl Token {
    fn record(&self, superseded: bool, now: Instant) -> Record {
        Record {
            state: self.state,
            attempt: self.hold.attempt,
            takeover: self.hold.takeover,
            owner: self.hold.owner,
            fingerprint: self.fingerprint,
            life: self.expires.saturating_duration_since(now),
            lease: self.hold.lease_until.saturating_duration_since(now),
            superseded,
            result: Vec::new(),
        }
    }

    fn held_by(&self, claim: &ClaimRef, state: State) -> bool {
        self.key == claim.key && self.state == state && self.hold.owner == claim.owner
    }
}

impl MemoryStore {
    fn on_claim(&self, claim: &ClaimRef, change: impl FnOnce(&mut Token, Instant) -> bool) -> bool {
        let now = Instant::now();
        let mut shard = self.inner.tokens.lock(&claim.key.id);
        shard.live(&claim.key.id, now).is_some_and(|token| change(token, now))
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn issue(&self, new: &NewToken) -> Result<(), Error> {
        let now = Instant::now();
        let token = Token {
            key: new.key.clone(),
            state: State::Issued,
            fingerprint: new.fingerprint,
            expires: now + new.ttl,
            hold: Hold {
                attempt: 0,
                takeover: false,
                owner: Owner::NOBODY,
                holder: String::new(),
                since: now,
                lease_until: now,
                tail: new.tombstone,
            },
            result: Vec::new(),
            until: now + new.ttl + new.tombstone,
        };
        let until = token.until;
        let mut shard = self.inner.tokens.lock(&new.key.id);
        if shard.live(&new.key.id, now).is_none() {
            shard.put(new.key.id, token, now);
        }
        drop(shard);
        if new.latest {
            let user = (new.key.purpose.clone(), new.key.user.clone());
            self.inner.latest.lock(&user).put(user.clone(), Bare { value: new.key.id, until }, now);
        }
        Ok(())
    }

    async fn spend(&self, ask: &SpendToken) -> Result<TokenAnswer, Error> {
        let now = Instant::now();
        let superseded = ask.latest && {
            let user = (ask.key.purpose.clone(), ask.key.user.clone());
            let mut latest = self.inner.latest.lock(&user);
            latest.live(&user, now).is_some_and(|newest| newest.value != ask.key.id)
        };
        let mut shard = self.inner.tokens.lock(&ask.key.id);
        let Some(token) = shard.live(&ask.key.id, now).filter(|token| token.key == ask.key) else {
            return Ok(TokenAnswer::Absent);
        };
        Ok(match token.record(superseded, now).judge(&ask.owner, &ask.fingerprint) {
            Verdict::Take { takeover } => {
                let tail = ask.tail.max(token.expires.saturating_duration_since(now));
                token.state = State::Claimed;
                token.hold = Hold {
                    attempt: token.hold.attempt + 1,
                    takeover,
                    owner: ask.owner,
                    holder: ask.holder.clone(),
                    since: now,
                    lease_until: now + ask.lease,
                    tail,
                };
                token.until = now + ask.lease + tail;
                TokenAnswer::Accepted { attempt: token.hold.attempt, takeover }
            }
            Verdict::Mine => TokenAnswer::Accepted { attempt: token.hold.attempt, takeover: token.hold.takeover },
            Verdict::Done => TokenAnswer::AlreadySpent { result: token.result.clone() },
            Verdict::InFlight(retry_after) => TokenAnswer::InFlight { retry_after },
            Verdict::Superseded => TokenAnswer::Superseded,
            Verdict::Expired => TokenAnswer::Expired,
            Verdict::Mismatch => TokenAnswer::Mismatch,
        })
    }

    async fn renew(&self, claim: &ClaimRef, lease: Duration) -> Result<bool, Error> {
        Ok(self.on_claim(claim, |token, now| {
            let held = token.held_by(claim, State::Claimed);
            if held {
                token.hold.lease_until = now + lease;
                token.until = now + lease + token.hold.tail;
            }
            held
        }))
    }

    async fn complete(&self, claim: &ClaimRef, result: &[u8], retention: Duration) -> Result<bool, Error> {
        Ok(self.on_claim(claim, |token, now| {
            if token.held_by(claim, State::Claimed) {
                token.state = State::Done;
                token.result = result.to_vec();
                token.until = now + retention;
                return true;
            }
            token.held_by(claim, State::Done) && token.result == result
        }))
    }

    async fn release(&self, claim: &ClaimRef, tombstone: Duration) -> Result<bool, Error> {
        Ok(self.on_claim(claim, |token, now| {
            if token.held_by(claim, State::Claimed) {
                token.state = State::Issued;
                token.until = token.expires.max(now) + tombstone;
                return true;
            }
            token.held_by(claim, State::Issued)
        }))
    }

    async fn running(&self, purpose: &str, older_than: Duration, limit: usize) -> Result<Vec<RunningClaim>, Error> {
        let now = Instant::now();
        let mut running = Vec::new();
        self.inner.tokens.visit(|_, token| {
            let age = now.saturating_duration_since(token.hold.since);
            let listed = token.state == State::Claimed && token.key.purpose == purpose && token.until > now;
            if listed && age >= older_than {
                running.push(RunningClaim::new(
                    ClaimRef { key: token.key.clone(), owner: token.hold.owner },
                    token.hold.holder.clone(),
                    token.hold.attempt,
                    age,
                    token.hold.lease_until.saturating_duration_since(now),
                ));
            }
        });
        running.sort_by_key(|claim| std::cmp::Reverse(claim.running_for));
        running.truncate(limit);
        Ok(running)
    }

    async fn issue_bare(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let value = Bare { value: value.to_owned(), until: now + ttl };
        self.inner.bare.lock(key).put(key.to_owned(), value, now);
        Ok(())
    }

    async fn consume_bare(&self, key: &str, value: &str) -> Result<Consume, Error> {
        let mut shard = self.inner.bare.lock(key);
        Ok(match shard.live(key, Instant::now()) {
            None => Consume::Absent,
            Some(held) if held.value != value => Consume::Different,
            Some(_) => {
                shard.remove(key);
                Consume::Consumed
            }
        })
    }

    async fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}
