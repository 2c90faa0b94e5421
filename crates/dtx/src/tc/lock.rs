//! Row locks: their identity, and who waits for one in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

/// One row that a global transaction owns until it is decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey {
    /// The resource the row lives in.
    pub resource_id: String,
    /// The table, as its catalogue spells it.
    pub table: String,
    /// The key within the table: the primary key as text, or a typed hash of it.
    pub key: String,
}

impl LockKey {
    /// A fixed-length ASCII name for the store: no collation, no length limit and no separator can confuse two rows.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.resource_id, &self.table, &self.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex(&hash.finalize()[..16])
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who in this process waits for which lock. A waiter holds neither a connection nor a row lock; waking is a hint, the
/// registration that follows is the truth.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<HashMap<String, Arc<Notify>>>);

impl Waiters {
    /// Returns when the lock may be free, at the latest after `at_most`.
    pub(crate) async fn wait(&self, id: String, at_most: Duration) {
        let notify = Arc::clone(self.waiting().entry(id.clone()).or_default());
        let waiter = Waiter { waiters: self, id, notify };
        let _ = tokio::time::timeout(at_most, waiter.notify.notified()).await;
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the longest waiter of each freed lock: waking all would only make them fail one behind the other.
    pub(crate) fn freed(&self, ids: &[String]) {
        let waiting = self.waiting();
        for notify in ids.iter().filter_map(|id| waiting.get(id)) {
            notify.notify_one();
        }
    }
}

/// One who waits, also if it gives up half way.
struct Waiter<'a> {
    waiters: &'a Waiters,
    id: String,
    notify: Arc<Notify>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting();
        // The map's and this one.
        if Arc::strong_count(&self.notify) == 2 {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(resource_id: &str, table: &str, key: &str) -> LockKey {
        LockKey { resource_id: resource_id.to_owned(), table: table.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn no_two_rows_share_an_id() {
        let keys = [key("a", "b", "c"), key("ab", "", "c"), key("", "ab", "c"), key("a", "bc", ""), key("a", "b", "C")];
        let ids: std::collections::HashSet<_> = keys.iter().map(LockKey::id).collect();
        assert_eq!(ids.len(), keys.len());
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_woken_one_by_one_in_order_and_leave_nothing_behind() {
        let waiters = Waiters::default();
        let order = Mutex::new(Vec::new());
        let wait = async |n: u32| {
            waiters.wait("row".to_owned(), Duration::from_secs(60)).await;
            order.lock().unwrap().push(n);
            waiters.freed(&["row".to_owned()]);
        };
        let wake = async {
            tokio::task::yield_now().await;
            waiters.freed(&["other".to_owned(), "row".to_owned()]);
        };
        tokio::join!(wait(1), wait(2), wait(3), wake);
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
        assert!(waiters.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_gives_up_leaves_nothing_behind() {
        let waiters = Waiters::default();
        let gives_up = waiters.wait("row".to_owned(), Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_secs(1), gives_up).await.is_err());
        assert!(waiters.0.lock().unwrap().is_empty());
    }
}
