//! A map in pieces, each behind its own lock, that forgets what is over.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const SHARDS: usize = 64;
/// A shard smaller than this is never swept.
const SWEEP_FROM: usize = 256;

/// What ends by itself.
pub(super) trait Expires {
    /// From this moment on it counts as absent.
    fn until(&self) -> Instant;
}

pub(super) struct Shards<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: RandomState,
}

pub(super) struct Shard<K, V> {
    map: HashMap<K, V>,
    sweep_at: usize,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { map: HashMap::new(), sweep_at: SWEEP_FROM });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new() }
    }
}

impl<K: Hash + Eq, V: Expires> Shards<K, V> {
    /// Locks the piece that belongs to a key; every key that is used on it must be this one or be routed by it.
    pub(super) fn lock<Q: Hash + ?Sized>(&self, route: &Q) -> MutexGuard<'_, Shard<K, V>>
    where
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hasher.hash_one(route);
        let at = usize::try_from(hash >> 48).unwrap_or_default() % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Visits the records of every piece, one piece at a time.
    pub(super) fn visit(&self, mut each: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.map.iter().for_each(|(key, value)| each(key, value));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).map.len()).sum()
    }
}

impl<K: Hash + Eq, V: Expires> Shard<K, V> {
    /// What is under the key and not over.
    pub(super) fn live<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, now: Instant) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get_mut(key).filter(|value| value.until() > now)
    }

    /// Puts a value under the key. Sweeps first where the piece has doubled since it was last swept, so that the cost per
    /// insert is constant.
    pub(super) fn put(&mut self, key: K, value: V, now: Instant) {
        if self.map.len() >= self.sweep_at {
            self.map.retain(|_, value| value.until() > now);
            self.sweep_at = SWEEP_FROM.max(self.map.len() * 2);
        }
        self.map.insert(key, value);
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Until(Instant);

    impl Expires for Until {
        fn until(&self) -> Instant {
            self.0
        }
    }

    #[test]
    fn what_is_over_does_not_pile_up() {
        let shards = Shards::<u32, Until>::default();
        let start = Instant::now();
        for n in 0..200_000 {
            let now = start + Duration::from_millis(n.into());
            shards.lock(&n).put(n, Until(now + Duration::from_millis(10)), now);
        }
        assert!(shards.len() <= SHARDS * (SWEEP_FROM + 1), "{} records", shards.len());
    }
}
