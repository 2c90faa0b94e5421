//! Which lanes a relay publishes, of all that the relays that live share out among themselves.
//!
//! Nobody gives orders. Each relay says that it lives, looks who else does and who has what, and comes by itself to its
//! fair part: what it has beyond that it gives back, what it lacks it takes of what is free.

mod fair;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use self::fair::fair;
use super::Shared;
use crate::Error;

#[derive(Debug, Default)]
pub(super) struct Share {
    lanes: BTreeMap<u32, Place>,
    said: Option<Instant>,
    looked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    worker: usize,
    /// To be given back, once the worker has settled what it read.
    leaves: bool,
}

impl Share {
    /// The lanes of one worker, after a look around if it is time for one.
    pub(super) async fn of(&mut self, worker: usize, relay: &Shared) -> Result<BTreeSet<u32>, Error> {
        self.look(relay).await?;
        Ok(self.staying().filter(|(_, place)| place.worker == worker).map(|(lane, _)| lane).collect())
    }

    /// A worker has given this lane back, or did not get it.
    pub(super) fn gone(&mut self, worker: usize, lane: u32) {
        if self.lanes.get(&lane).is_some_and(|place| place.worker == worker) {
            self.lanes.remove(&lane);
        }
    }

    /// The relay ends; until it begins again it has no part.
    pub(super) async fn end(&mut self, relay: &Shared) -> Result<(), Error> {
        *self = Self::default();
        metrics::gauge!("onceward_reliable_mq_lanes", "relay" => relay.owner.clone()).set(0.0);
        relay.store.leave(&relay.owner).await
    }

    fn staying(&self) -> impl Iterator<Item = (u32, Place)> {
        self.lanes.iter().filter(|(_, place)| !place.leaves).map(|(lane, place)| (*lane, *place))
    }

    /// Who has all lanes looks when it says that it lives, after a third of a lease; who lacks some at every poll, since they
    /// may be free now.
    async fn look(&mut self, relay: &Shared) -> Result<(), Error> {
        let over = |since: Option<Instant>, span| since.is_none_or(|since| since.elapsed() >= span);
        let (all, lease) = (relay.store.capabilities().lanes, relay.options.lease);
        let lacks = self.staying().count() < all as usize;
        let says = over(self.said, lease / 3);
        let looks = says || lacks && over(self.looked, relay.options.poll);
        if !looks {
            return Ok(());
        }
        let asked = Instant::now();
        if says {
            relay.store.heartbeat(&relay.owner, lease).await?;
            self.said = Some(asked);
        }
        let relays = relay.store.relays().await?;
        self.looked = Some(asked);
        metrics::gauge!("onceward_reliable_mq_relays").set(relays.len() as f64);
        let mine = self.staying().map(|(lane, _)| lane).collect();
        let fair = fair(&relays, &relay.owner, &mine, all);
        // Others have the rest, or nobody, since they were given back meanwhile.
        self.lanes.retain(|lane, _| fair.own.contains(lane));
        let spare = self.staying().count().saturating_sub(fair.quota);
        (0..spare).for_each(|_| self.give_one());
        // What the process that had this name before has left.
        fair.own.iter().for_each(|lane| self.take(*lane, relay.workers.len()));
        self.keep_or_take(fair.quota, &fair.free, relay.workers.len());
        let lanes = self.staying().count();
        metrics::gauge!("onceward_reliable_mq_lanes", "relay" => relay.owner.clone()).set(lanes as f64);
        if spare > 0 {
            tracing::info!(lanes, relays = relays.len(), "lanes are given to other relays");
        }
        Ok(())
    }

    fn keep_or_take(&mut self, quota: usize, free: &[u32], workers: usize) {
        let lacking = quota.saturating_sub(self.staying().count());
        let kept = self.lanes.values_mut().filter(|place| place.leaves).take(lacking);
        let kept = kept.map(|place| place.leaves = false).count();
        free.iter().take(lacking - kept).for_each(|lane| self.take(*lane, workers));
    }

    /// Gives a lane to the worker that has the fewest, unless one has it.
    fn take(&mut self, lane: u32, workers: usize) {
        let load = |worker: &usize| self.lanes.values().filter(|place| place.worker == *worker).count();
        let worker = (0..workers).min_by_key(load).unwrap_or(0);
        self.lanes.entry(lane).or_insert(Place { worker, leaves: false });
    }

    /// Takes one from the worker that has most.
    fn give_one(&mut self) {
        let load = |worker: usize| self.staying().filter(|(_, place)| place.worker == worker).count();
        let from = self.staying().max_by_key(|(_, place)| load(place.worker)).map(|(lane, _)| lane);
        if let Some(place) = from.and_then(|lane| self.lanes.get_mut(&lane)) {
            place.leaves = true;
        }
    }
}
