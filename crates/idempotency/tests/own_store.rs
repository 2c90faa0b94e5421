//! A store written outside the crate passes the contract with what the crate shows to everybody. It is the README's.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use onceward_idempotency::{
    Capabilities, ContentAnswer, ContentClaim, ContentSlot, DedupStore, Error, Fingerprint, Owner, Record, State,
    Verdict, async_trait,
};

#[derive(Debug, Default)]
struct MyStore(Mutex<HashMap<String, Row>>);

#[derive(Debug)]
struct Row {
    state: State,
    attempt: u32,
    takeover: bool,
    owner: Owner,
    lease_until: Instant,
    tail: Duration,
    keep_until: Instant,
}

impl MyStore {
    /// Changes the row if the claim's owner holds it in this state.
    fn change(&self, claim: &ContentClaim, state: State, change: impl FnOnce(&mut Row)) -> bool {
        let mut rows = self.0.lock().unwrap();
        let row = rows.get_mut(&claim.slot_name()).filter(|row| row.keep_until > Instant::now());
        row.filter(|row| row.owner == claim.owner && row.state == state).map(change).is_some()
    }
}

#[async_trait]
impl DedupStore for MyStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE // no second digests
    }

    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error> {
        let now = Instant::now();
        let mut rows = self.0.lock().unwrap();
        let (mut attempt, mut takeover) = (1, false);
        if let Some(row) = rows.get(&ask.key.name).filter(|row| row.keep_until > now) {
            let record = Record {
                state: row.state,
                attempt: row.attempt,
                takeover: row.takeover,
                owner: row.owner,
                fingerprint: Fingerprint::NONE,
                life: Duration::ZERO,
                lease: row.lease_until.saturating_duration_since(now),
                superseded: false,
                result: Vec::new(),
            };
            (attempt, takeover) = match record.judge_content(&ask.owner, ask.mark) {
                Verdict::Take { takeover } => (row.attempt + 1, takeover),
                Verdict::InFlight(retry_after) => return Ok(ContentAnswer::InFlight { retry_after }),
                Verdict::Mine => {
                    let (attempt, takeover) = (row.attempt, row.takeover);
                    return Ok(ContentAnswer::First { attempt, takeover, collided: false });
                }
                _ => return Ok(ContentAnswer::Done),
            };
        }
        let (state, keep) =
            if ask.mark { (State::Done, ask.retention) } else { (State::Claimed, ask.lease + ask.tail) };
        let (owner, tail, lease_until) = (ask.owner, ask.tail, now + ask.lease);
        let row = Row { state, attempt, takeover, owner, lease_until, tail, keep_until: now + keep };
        rows.insert(ask.key.name.clone(), row);
        Ok(ContentAnswer::First { attempt, takeover, collided: false })
    }

    async fn renew(&self, claim: &ContentClaim, lease: Duration) -> Result<bool, Error> {
        Ok(self.change(claim, State::Claimed, |row| {
            row.lease_until = Instant::now() + lease;
            row.keep_until = row.lease_until + row.tail;
        }))
    }

    async fn complete(&self, claim: &ContentClaim, retention: Duration) -> Result<bool, Error> {
        let completed = self.change(claim, State::Claimed, |row| {
            row.state = State::Done;
            row.keep_until = Instant::now() + retention;
        });
        Ok(completed || self.change(claim, State::Done, |_| ()))
    }

    async fn release(&self, claim: &ContentClaim) -> Result<bool, Error> {
        let mut rows = self.0.lock().unwrap();
        let Some(row) = rows.get(&claim.slot_name()).filter(|row| row.keep_until > Instant::now()) else {
            return Ok(true);
        };
        let held = row.state == State::Claimed && row.owner == claim.owner;
        if held {
            rows.remove(&claim.slot_name());
        }
        Ok(held)
    }

    async fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}

async fn make() -> (MyStore, ()) {
    (MyStore::default(), ())
}

onceward_idempotency::dedup_conformance!(make);

#[test]
fn the_readme_shows_this_very_store() {
    let readme = include_str!("../README.md");
    let this = include_str!("own_store.rs");
    let store = this.split_once("#[derive(Debug, Default)]").unwrap().1.split_once("\nasync fn make").unwrap().0;
    assert!(readme.contains(store.trim()), "README.md and tests/own_store.rs differ");
}
