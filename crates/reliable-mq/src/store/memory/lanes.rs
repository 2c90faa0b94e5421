//! Who lives, and who publishes which lane in memory.

use std::time::Duration;

use tokio::time::Instant;

use super::tables::Tables;
use crate::store::{Lease, RelayInfo};

pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) until: Instant,
}

impl Held {
    /// Ends a lease before its time; the entry stays for its epoch, which fences whoever had it.
    pub(super) fn take_away(&mut self) {
        self.lease.epoch += 1;
        self.end();
    }

    fn end(&mut self) {
        self.lease.owner.clear();
        self.until = Instant::now();
    }
}

impl Tables {
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.leases.get(&lease.lane).is_some_and(|held| held.lease == *lease)
    }

    pub(super) fn take_lane(&mut self, lane: u32, owner: &str, ttl: Duration) -> Option<Lease> {
        let (now, held) = (Instant::now(), self.leases.get(&lane));
        if held.is_some_and(|held| held.until > now && held.lease.owner != owner) {
            return None;
        }
        let epoch = held.map_or(0, |held| held.lease.epoch) + 1;
        let lease = Lease { lane, owner: owner.to_owned(), epoch };
        self.leases.insert(lane, Held { lease: lease.clone(), until: now + ttl });
        Some(lease)
    }

    pub(super) fn keep_lane(&mut self, lease: &Lease, ttl: Duration) -> bool {
        let held = self.leases.get_mut(&lease.lane).filter(|held| held.lease == *lease);
        held.map(|held| held.until = Instant::now() + ttl).is_some()
    }

    pub(super) fn give_lane(&mut self, lease: &Lease) {
        if let Some(held) = self.leases.get_mut(&lease.lane).filter(|held| held.lease == *lease) {
            held.end();
        }
    }

    pub(super) fn living(&mut self) -> Vec<RelayInfo> {
        let now = Instant::now();
        self.relays.retain(|_, until| *until > now);
        let said = self.relays.iter().map(|(owner, until)| (owner.clone(), None, *until - now));
        let leases = self.leases.values().filter(|held| held.until > now);
        let held = leases.map(|Held { lease, until }| (lease.owner.clone(), Some(lease.lane), *until - now));
        RelayInfo::gather(said.chain(held))
    }
}
