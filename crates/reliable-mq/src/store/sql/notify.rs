//! Wake-ups between processes, over LISTEN and NOTIFY of PostgreSQL.
//!
//! Not by a trigger, and not in the transaction that enqueues: a commit that notifies takes one lock of the whole cluster. A
//! connection of its own says, at most a hundred times a second, that something was enqueued.

use std::time::Duration;

use onceward_backend::{BackendError, RetryPolicy, internal::random_unit};
use sqlx::{Postgres, postgres::PgListener};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::SqlStore;

const CHANNEL: &str = "onceward_mq";
/// Between two notifications. What rings meanwhile is told by the next.
const PAUSE: Duration = Duration::from_millis(10);

impl SqlStore<Postgres> {
    /// Tells the relays of other processes when this one has enqueued, until `shutdown`. It takes a connection of the pool for
    /// each notification, at most a hundred times a second. What it cannot tell, relays find by polling.
    pub async fn announce(&self, shutdown: CancellationToken) {
        until_it_ends("announce", &shutdown, async |failures| {
            self.bells.announcer.notified().await;
            let told = self.sql.sql("select pg_notify(?, '')").bind(CHANNEL);
            let told = match self.pool.acquire().await {
                Ok(mut conn) => told.execute(&mut conn).await.map(drop),
                Err(error) => Err(error.into()),
            };
            if told.is_err() {
                self.bells.announcer.notify_one();
            } else {
                *failures = 0;
                sleep(PAUSE).await;
            }
            told
        })
        .await;
    }

    /// Wakes the relays of this process when another [announces](Self::announce) that it has enqueued, until `shutdown`. It keeps one
    /// connection of the pool to itself; after each time that this had to be made anew the relays look once.
    pub async fn listen(&self, shutdown: CancellationToken) {
        until_it_ends("listen", &shutdown, async |failures| {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            listener.listen(CHANNEL).await?;
            loop {
                // What was told before this connection listened, nobody heard.
                self.bells.relay.notify_one();
                *failures = 0;
                if listener.try_recv().await?.is_none() {
                    tracing::info!("the connection that listens for messages is lost");
                }
            }
        })
        .await;
    }
}

async fn until_it_ends(
    what: &'static str,
    shutdown: &CancellationToken,
    mut turn: impl AsyncFnMut(&mut u32) -> Result<(), BackendError>,
) {
    let (backoff, mut failures) = (RetryPolicy::exponential(), 0);
    let run = async {
        loop {
            if let Err(error) = turn(&mut failures).await {
                failures += 1;
                tracing::warn!(what, failures, %error, "relays are not woken between processes, they poll");
                sleep(backoff.delay(failures, 0.5 + random_unit() / 2.0)).await;
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = run => {}
    }
}
