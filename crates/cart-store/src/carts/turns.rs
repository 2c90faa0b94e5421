//! Changes of one cart from one process, one after the other.
//!
//! A cart remembers few operations. When its changes take turns, the repeat of a change whose answer was lost comes before
//! any other change of this process, so the cart still remembers it. Parallel changes of one cart would wait for each other
//! in the store anyway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::types::Owner;

/// A cart's queue; the value is the version that the last in it saw, 0 if none has.
type Queue = Arc<tokio::sync::Mutex<u32>>;
type Queues = Arc<Mutex<HashMap<Owner, Queue>>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    queues: Queues,
}

/// The right to change one cart, until dropped. The guard goes before the place: it holds the queue too.
#[derive(Debug)]
pub(super) struct Turn {
    guard: OwnedMutexGuard<u32>,
    _place: Place,
}

impl Turns {
    pub(super) async fn enter(&self, owner: &Owner) -> Turn {
        let place = Place::new(&self.queues, owner);
        let guard = Arc::clone(&place.queue).lock_owned().await;
        Turn { guard, _place: place }
    }
}

impl Turn {
    /// A version that the cart certainly had: what the one before in the queue saw.
    pub(super) fn seen(&self) -> u32 {
        *self.guard
    }

    pub(super) fn saw(&mut self, version: u32) {
        *self.guard = version;
    }
}

/// Membership of a queue, also while waiting: the last to leave removes it.
#[derive(Debug)]
struct Place {
    queues: Queues,
    owner: Owner,
    queue: Queue,
}

impl Place {
    fn new(queues: &Queues, owner: &Owner) -> Self {
        let mut held = queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = Arc::clone(held.entry(owner.clone()).or_default());
        Self { queues: Arc::clone(queues), owner: owner.clone(), queue }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        /// The map's and ours.
        const LAST: usize = 2;
        let mut held = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.queue) <= LAST {
            held.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::GuestId;

    #[tokio::test]
    async fn a_queue_lives_as_long_as_someone_is_in_it() {
        let turns = Turns::default();
        let owner = Owner::from(GuestId::random());
        let mut first = turns.enter(&owner).await;
        first.saw(7);
        let mut second = Box::pin(turns.enter(&owner));
        assert!(futures_pending(second.as_mut()).await);
        drop(first);
        let second = second.await;
        assert_eq!(second.seen(), 7);
        drop(second);
        assert!(turns.queues.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let turns = Turns::default();
        let owner = Owner::from(GuestId::random());
        let first = turns.enter(&owner).await;
        let mut second = Box::pin(turns.enter(&owner));
        assert!(futures_pending(second.as_mut()).await);
        drop(second);
        drop(first);
        assert!(turns.queues.lock().unwrap().is_empty());
    }

    async fn futures_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }
}
