//! The relay: from the store to the broker.

mod low_water;
pub(crate) mod options;
mod plan;
mod share;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use onceward_backend::internal::{Progress, work};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::options::{Order, RelayOptions};
use self::{share::Share, worker::Worker};
use crate::{
    Error,
    broker::{Broker, Durability},
    ident,
    store::{Counts, Store},
};

/// Publishes what the store holds, until the broker has it: at least once, first deliveries per key in order.
///
/// Any number of relays may run on one store. They share its lanes out among themselves, each as many as any other or one more;
/// each lane is published by one of them at a time.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    options: RelayOptions,
    owner: String,
    workers: Vec<Mutex<Worker>>,
    share: Mutex<Share>,
    purged: Mutex<Option<Instant>>,
}

/// What one round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Messages that the broker accepted.
    pub sent: usize,
    /// Messages that failed and wait for a retry.
    pub retried: usize,
    /// Messages that were given up.
    pub dead: usize,
    /// There may be more to do at once.
    pub more: bool,
    /// How long until something is known to be due.
    pub next: Option<Duration>,
}

impl Step {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.retried += other.retried;
        self.dead += other.dead;
        self.more |= other.more;
        if let Some(pause) = other.next {
            self.wait(pause);
        }
    }

    fn wait(&mut self, pause: Duration) {
        self.next = Some(self.next.map_or(pause, |next| next.min(pause)));
    }
}

impl Relay {
    /// A relay from this store to this broker.
    ///
    /// # Errors
    /// [`Error::Volatile`] if the broker forgets what it accepted and the options do not allow that.
    pub fn new(store: Arc<dyn Store>, broker: Arc<dyn Broker>, options: RelayOptions) -> Result<Self, Error> {
        if broker.capabilities().durability == Durability::Volatile && !options.allow_volatile {
            return Err(Error::Volatile);
        }
        let lanes = store.capabilities().lanes as usize;
        let workers =
            (0..options.workers.clamp(1, lanes.max(1))).map(|number| Mutex::new(Worker::new(number))).collect();
        let owner = options.owner.clone().unwrap_or_else(ident::instance);
        let (share, purged) = (Mutex::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { store, broker, options, owner, workers, share, purged }) })
    }

    /// Publishes until `shutdown`: woken from within this process, else by polling. Ends after the round in flight, with
    /// every outcome that is known written down, and gives its lanes back.
    pub async fn run(&self, shutdown: CancellationToken) {
        let arrivals = self.shared.store.arrivals();
        let bells: Vec<Notify> = self.shared.workers.iter().map(|_| Notify::new()).collect();
        let work = join_all(self.shared.workers.iter().zip(&bells).map(|(worker, bell)| {
            let poll = self.shared.options.poll;
            work("reliable_mq.relay", poll, bell, &shutdown, || async {
                self.purge_now_and_then().await;
                let step = worker.lock().await.step(&self.shared).await?;
                Ok::<_, Error>(match step {
                    Step { more: true, .. } => Progress::More,
                    Step { next: Some(pause), .. } => Progress::Until(pause),
                    _ => Progress::Idle,
                })
            })
        }));
        let ring = async {
            loop {
                arrivals.notified().await;
                bells.iter().for_each(Notify::notify_one);
            }
        };
        tokio::select! {
            _ = work => {}
            () = ring => {}
        }
        if let Err(error) = self.release().await {
            tracing::warn!(%error, "lanes were not given back; their leases end by themselves");
        }
    }

    /// One round over the lanes that are this relay's part: what is due, then what is new.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails. What was published and not written down is published again.
    pub async fn step(&self) -> Result<Step, Error> {
        let workers = self.shared.workers.iter();
        let steps = join_all(workers.map(async |worker| worker.lock().await.step(&self.shared).await)).await;
        let mut all = Step::default();
        for step in steps {
            all.add(step?);
        }
        Ok(all)
    }

    /// Publishes until nothing waits any more, retries included, or `within` is over; then gives the lanes back. Answers
    /// what is still there. What is in lanes of other relays it waits for.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn drain(&self, within: Duration) -> Result<Counts, Error> {
        let end = Instant::now() + within;
        let arrivals = self.shared.store.arrivals();
        loop {
            let step = self.step().await?;
            let counts = self.shared.store.counts().await?;
            let left = end.saturating_duration_since(Instant::now());
            if counts.hot + counts.delayed == 0 || left.is_zero() {
                self.release().await?;
                return Ok(counts);
            }
            if !step.more {
                let pause = step.next.unwrap_or(self.shared.options.poll).min(self.shared.options.poll).min(left);
                let _ = tokio::time::timeout(pause, arrivals.notified()).await;
            }
        }
    }

    /// Checks that the broker has a queue for each of these topics: for the start of a service.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] for the first that it has none for; whatever the broker reports.
    pub async fn check_topics(&self, topics: &[&str]) -> Result<(), Error> {
        for topic in topics {
            if !self.shared.broker.routes(topic).await? {
                return Err(Error::UnknownTopic((*topic).to_owned()));
            }
        }
        Ok(())
    }

    async fn purge_now_and_then(&self) {
        let mut purged = self.shared.purged.lock().await;
        if purged.is_some_and(|at| at.elapsed() < PURGE_EVERY) {
            return;
        }
        let older = self.shared.options.history_retention;
        match self.shared.store.purge_history(older, PURGE_AT_ONCE).await {
            // A full batch means there is more: come back after the next round.
            Ok(rows) if rows >= PURGE_AT_ONCE as u64 => {}
            Ok(_) | Err(Error::Unsupported(_)) => *purged = Some(Instant::now()),
            // No reason to publish nothing.
            Err(error) => {
                tracing::warn!(%error, "the log was not purged; it is tried again later");
                *purged = Some(Instant::now());
            }
        }
    }

    async fn release(&self) -> Result<(), Error> {
        // First, so that nobody waits for this relay to take its part of what becomes free.
        self.shared.share.lock().await.end(&self.shared).await?;
        for worker in &self.shared.workers {
            worker.lock().await.release(&self.shared).await?;
        }
        Ok(())
    }
}

const PURGE_EVERY: Duration = Duration::from_secs(600);
const PURGE_AT_ONCE: usize = 1000;

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("owner", &self.shared.owner).finish_non_exhaustive()
    }
}
