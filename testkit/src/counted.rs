//! What an operation costs on the wire of a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::{Database, Pool};

use crate::{Proxy, eventually};

/// A pool of one connection, behind a proxy that counts round trips.
///
/// The pool itself asks whether the connection lives, once each time that one comes back to it, after the caller has
/// gone on; that is not counted. The first use of a statement costs a round trip more, in which it is prepared: let an
/// operation run once before it is counted.
#[derive(Debug)]
pub struct CountedPool<D: Database> {
    pool: Pool<D>,
    proxy: Proxy,
    given_back: Arc<AtomicU64>,
}

impl<D: Database> CountedPool<D> {
    /// Connects to the database at `url`.
    ///
    /// # Panics
    /// If that fails.
    pub async fn connect(url: &str) -> Self {
        let proxy = Proxy::in_front_of(url).await;
        let given_back = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&given_back);
        let options = PoolOptions::new().max_connections(1).test_before_acquire(false).after_release(move |_, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(true) })
        });
        let pool = match options.connect(proxy.url()).await {
            Ok(pool) => pool,
            Err(error) => panic!("{error}; are the services up (`cargo xtask up`)?"),
        };
        Self { pool, proxy, given_back }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<D> {
        &self.pool
    }

    /// What `work` answers, and its round trips.
    ///
    /// # Panics
    /// If `work` keeps the connection.
    pub async fn trips<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        self.at_rest().await;
        self.proxy.reset_counts();
        let before = self.given_back.load(Ordering::SeqCst);
        let answer = work.await;
        self.at_rest().await;
        (answer, self.proxy.round_trips() - (self.given_back.load(Ordering::SeqCst) - before))
    }

    async fn at_rest(&self) {
        eventually(Duration::from_secs(10), async || {
            let (idle, open) = (self.pool.num_idle(), self.pool.size());
            if u32::try_from(idle) == Ok(open) { Ok(()) } else { Err(format!("{idle} of {open} connections idle")) }
        })
        .await;
    }
}
