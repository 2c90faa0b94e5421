//! Carts in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Absorb, Capabilities, Durability, Store, now};
use crate::cart::Record;
use crate::error::Error;
use crate::types::{
    Applied, Bought, Cart, Change, Command, GuestId, Line, MemberId, MergeId, MergeReport, MergeTtl, OrderId, Owner,
    Sealing, Stage, Taken, Unfinished, stable_hash,
};

const SHARDS: usize = 16;

/// Carts in this process: for tests, and for services whose carts may go with them. Cheap to clone; clones share the carts.
///
/// A cart and its marks live in one of 16 shards, each behind a lock that is held for one change.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shards: Arc<[Mutex<Shard>; SHARDS]>,
}

#[derive(Debug, Default)]
struct Shard {
    carts: HashMap<Owner, Held<Record>>,
    merges: HashMap<(Owner, MergeId), Held<MergeReport>>,
    orders: HashMap<(Owner, OrderId), Held<Taken>>,
}

#[derive(Debug, Default)]
struct Held<T> {
    value: T,
    until: Option<Instant>,
}

impl<T> Held<T> {
    fn for_ttl(value: T, ttl: Option<Duration>) -> Self {
        Self { value, until: deadline(ttl) }
    }

    fn lives(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn shard(&self, owner: &Owner) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(stable_hash(owner.id().as_bytes()) % SHARDS as u64).unwrap_or_default();
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn record(&self, owner: &Owner) -> Option<&Record> {
        self.carts.get(owner).filter(|held| held.lives()).map(|held| &held.value)
    }

    /// The cart to change; `None` as its deadline means that it is not there yet.
    fn held(&mut self, owner: &Owner) -> Option<&mut Held<Record>> {
        self.carts.get_mut(owner).filter(|held| held.lives())
    }

    fn put(&mut self, owner: &Owner, record: Record, ttl: Option<Duration>) {
        self.carts.insert(owner.clone(), Held::for_ttl(record, ttl));
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full(Durability::Process).with_shared(false)
    }

    async fn get(&self, owner: &Owner) -> Result<Option<Cart>, Error> {
        Ok(self.shard(owner).record(owner).map(|record| record.cart(owner.clone())))
    }

    async fn apply(&self, owner: &Owner, batch: &[Command], change: &Change) -> Result<Applied, Error> {
        let mut shard = self.shard(owner);
        let mut record = shard.record(owner).cloned().unwrap_or_default();
        let applied = record.apply(batch, change, now())?;
        if applied.changed && !applied.replayed {
            shard.put(owner, record, change.ttl);
        }
        Ok(applied)
    }

    async fn seal(&self, guest: &GuestId, into: &MemberId, merge: MergeId, ttl: MergeTtl) -> Result<Sealing, Error> {
        let owner = Owner::Guest(*guest);
        let mut shard = self.shard(&owner);
        let mut record = shard.record(&owner).cloned().unwrap_or_default();
        let sealed_before = record.seal.is_some();
        let sealing = record.seal(into, merge, now())?;
        if !sealed_before {
            let ttl = if sealing.stage == Stage::Sealed { ttl.sealed } else { ttl.tombstoned };
            shard.put(&owner, record, Some(ttl));
        }
        Ok(sealing)
    }

    async fn absorb(&self, member: &MemberId, lines: &[Line], absorb: &Absorb) -> Result<MergeReport, Error> {
        let owner = Owner::Member(member.clone());
        let mut shard = self.shard(&owner);
        let mark = (owner.clone(), absorb.merge);
        if let Some(done) = shard.merges.get(&mark).filter(|held| held.lives()) {
            return Ok(done.value.clone().replay());
        }
        let mut record = shard.record(&owner).cloned().unwrap_or_default();
        let before = record.version;
        let report = record.absorb(lines, &absorb.limits)?;
        if record.version != before {
            shard.put(&owner, record, absorb.ttl);
        }
        shard.merges.insert(mark, Held::for_ttl(report.clone(), Some(absorb.mark_ttl)));
        Ok(report)
    }

    async fn tombstone(&self, guest: &GuestId, merge: MergeId, ttl: Duration) -> Result<(), Error> {
        let owner = Owner::Guest(*guest);
        if let Some(held) = self.shard(&owner).held(&owner)
            && held.value.promote(merge, Stage::Tombstoned, now())
        {
            held.until = deadline(Some(ttl));
        }
        Ok(())
    }

    async fn settle(&self, guest: &GuestId, merge: MergeId) -> Result<(), Error> {
        let owner = Owner::Guest(*guest);
        if let Some(held) = self.shard(&owner).held(&owner) {
            held.value.promote(merge, Stage::Settled, now());
        }
        Ok(())
    }

    async fn unfinished(&self, sealed: Duration, tombstoned: Duration, limit: u32) -> Result<Vec<Unfinished>, Error> {
        let now = now();
        let mut found = Vec::new();
        for shard in self.shards.iter() {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (owner, held) in shard.carts.iter().filter(|(_, held)| held.lives()) {
                let (Owner::Guest(guest), Some(seal)) = (owner, &held.value.seal) else { continue };
                let age = Duration::from_millis(now.saturating_sub(seal.since));
                let due = match seal.stage {
                    Stage::Sealed => age >= sealed,
                    Stage::Tombstoned => age >= tombstoned,
                    Stage::Settled => false,
                };
                if due {
                    found.push(Unfinished::new(*guest, seal.into.clone(), seal.stage, age));
                }
            }
        }
        found.sort_by_key(|merge| std::cmp::Reverse(merge.age));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought], mark_ttl: Duration) -> Result<Taken, Error> {
        let mut shard = self.shard(owner);
        let mark = (owner.clone(), order.clone());
        if let Some(done) = shard.orders.get(&mark).filter(|held| held.lives()) {
            return Ok(done.value.replay());
        }
        let taken = match shard.held(owner) {
            Some(held) => held.value.take(lines)?,
            None => Taken::default(),
        };
        shard.orders.insert(mark, Held::for_ttl(taken, Some(mark_ttl)));
        Ok(taken)
    }

    async fn delete(&self, owner: &Owner) -> Result<bool, Error> {
        let mut shard = self.shard(owner);
        shard.merges.retain(|(of, _), _| of != owner);
        shard.orders.retain(|(of, _), _| of != owner);
        Ok(shard.carts.remove(owner).is_some_and(|held| held.lives()))
    }

    async fn purge(&self, limit: u32) -> Result<u64, Error> {
        let mut dropped = 0;
        for shard in self.shards.iter() {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            dropped +=
                purge(&mut shard.carts, limit) + purge(&mut shard.merges, limit) + purge(&mut shard.orders, limit);
            if dropped >= u64::from(limit) {
                break;
            }
        }
        Ok(dropped)
    }

    async fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn purge<K: Clone + Eq + std::hash::Hash, T>(held: &mut HashMap<K, Held<T>>, limit: u32) -> u64 {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let expired: Vec<_> =
        held.iter().filter(|(_, held)| !held.lives()).map(|(key, _)| key.clone()).take(most).collect();
    expired.iter().map(|key| u64::from(held.remove(key).is_some())).sum()
}

/// A time beyond what the clock can say is for ever.
fn deadline(ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| Instant::now().checked_add(ttl))
}
