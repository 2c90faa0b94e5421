//! Digests of contents in memory.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::shards::{Expires, Shard};
use super::{Hold, MemoryStore};
use crate::{
    Capabilities, ContentAnswer, ContentClaim, ContentSlot, DedupStore, Error, Fingerprint, Record, State, Verdict,
};

pub(super) struct Content {
    state: State,
    second: Option<Fingerprint>,
    hold: Hold,
    until: Instant,
}

impl Expires for Content {
    fn until(&self) -> Instant {
        self.until
    }
}

impl Content {
    fn record(&self, now: Instant) -> Record {
        Record {
            state: self.state,
            attempt: self.hold.attempt,
            takeover: self.hold.takeover,
            owner: self.hold.owner,
            fingerprint: self.second.unwrap_or(Fingerprint::NONE),
            life: Duration::ZERO,
            lease: self.hold.lease_until.saturating_duration_since(now),
            superseded: false,
            result: Vec::new(),
        }
    }

    fn claimed(ask: &ContentSlot, attempt: u32, takeover: bool, now: Instant) -> Self {
        let hold = Hold {
            attempt,
            takeover,
            owner: ask.owner,
            holder: ask.holder.clone(),
            since: now,
            lease_until: now + ask.lease,
            tail: ask.tail,
        };
        let (state, keep) =
            if ask.mark { (State::Done, ask.retention) } else { (State::Claimed, ask.lease + ask.tail) };
        Self { state, second: ask.key.second, hold, until: now + keep }
    }
}

/// Claims the slot of that name.
fn claim(shard: &mut Shard<String, Content>, name: String, collided: bool, ask: &ContentSlot) -> ContentAnswer {
    let now = Instant::now();
    let Some(content) = shard.live(&name, now) else {
        shard.put(name, Content::claimed(ask, 1, false, now), now);
        return ContentAnswer::First { attempt: 1, takeover: false, collided };
    };
    let record = content.record(now);
    match record.judge_content(&ask.owner, ask.mark) {
        Verdict::Take { takeover } => {
            let attempt = record.attempt + 1;
            *content = Content::claimed(ask, attempt, takeover, now);
            ContentAnswer::First { attempt, takeover, collided }
        }
        Verdict::Mine => ContentAnswer::First { attempt: record.attempt, takeover: record.takeover, collided },
        Verdict::InFlight(retry_after) => ContentAnswer::InFlight { retry_after },
        _ => ContentAnswer::Done,
    }
}

impl MemoryStore {
    /// Both slots of a content sit in the piece of the first name, so one lock covers the choice between them.
    fn on_content<T>(&self, claim: &ContentClaim, change: impl FnOnce(&mut Shard<String, Content>, &str) -> T) -> T {
        let mut shard = self.inner.contents.lock(&claim.key.name);
        change(&mut shard, &claim.slot_name())
    }
}

#[async_trait]
impl DedupStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error> {
        let mut shard = self.inner.contents.lock(&ask.key.name);
        if let Some(own) = ask.key.collision_name() {
            let now = Instant::now();
            let there = shard.live(&own, now).is_some();
            let first = shard.live(&ask.key.name, now).and_then(|first| first.second);
            if there || first.is_some_and(|first| Some(first) != ask.key.second) {
                return Ok(claim(&mut shard, own, true, ask));
            }
        }
        Ok(claim(&mut shard, ask.key.name.clone(), false, ask))
    }

    async fn renew(&self, claim: &ContentClaim, lease: Duration) -> Result<bool, Error> {
        let now = Instant::now();
        Ok(self.on_content(claim, |shard, name| {
            let content = shard.live(name, now);
            content.filter(|it| it.state == State::Claimed && it.hold.owner == claim.owner).is_some_and(|content| {
                content.hold.lease_until = now + lease;
                content.until = now + lease + content.hold.tail;
                true
            })
        }))
    }

    async fn complete(&self, claim: &ContentClaim, retention: Duration) -> Result<bool, Error> {
        let now = Instant::now();
        Ok(self.on_content(claim, |shard, name| {
            shard.live(name, now).filter(|content| content.hold.owner == claim.owner).is_some_and(|content| {
                if content.state == State::Claimed {
                    content.state = State::Done;
                    content.until = now + retention;
                }
                true
            })
        }))
    }

    async fn release(&self, claim: &ContentClaim) -> Result<bool, Error> {
        let now = Instant::now();
        Ok(self.on_content(claim, |shard, name| match shard.live(name, now) {
            None => true,
            Some(content) if content.state == State::Claimed && content.hold.owner == claim.owner => {
                shard.remove(name);
                true
            }
            Some(_) => false,
        }))
    }

    async fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}
