//! The background work of a coordinator: what is due, what was left behind, what is old.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use onceward_backend::internal::{Progress, work};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Tc;
use super::state::{GlobalStatus, Reason};
use super::store::Due;
use crate::DtxError;

/// Transactions that are taken at once, and those of them that are driven side by side, each by itself. A resource that
/// does not answer holds up only a few of them, and those not for long.
const BATCH: i64 = 1_000;
const ABREAST: usize = 64;
/// How long decisions gather before the worker takes them: nobody waits for a second phase of a commit, and one statement
/// for many is cheaper for everyone.
const GATHER: Duration = Duration::from_millis(10);
/// How often outcomes are looked through for old ones, and parked branches for repaired ones.
const PURGE: Duration = Duration::from_secs(60);
/// How often dead coordinators are looked for, at the most.
const LOOK: Duration = Duration::from_millis(100);
/// How often transactions are counted for the gauges.
const COUNT: Duration = Duration::from_secs(10);

/// What is under way, beside the loop that looks for more.
struct Flights<'a> {
    launch: mpsc::UnboundedSender<BoxFuture<'a, ()>>,
    turns: Semaphore,
    xids: Mutex<HashSet<String>>,
    asks_parked: AtomicBool,
    purged: Mutex<Option<Instant>>,
    /// When dead coordinators were last looked for.
    looked: Mutex<Option<Instant>>,
    counted: Mutex<Option<Instant>>,
}

/// True if that long ago or never.
fn is_past(last: &Mutex<Option<Instant>>, pause: Duration) -> bool {
    last.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|last| last.elapsed() >= pause)
}

fn is_done(last: &Mutex<Option<Instant>>) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

impl Flights<'_> {
    fn xids(&self) -> MutexGuard<'_, HashSet<String>> {
        self.xids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of `dues` that are not under way yet, which they are from now on.
    fn depart(&self, mut dues: Vec<Due>) -> Vec<Due> {
        let mut xids = self.xids();
        dues.retain(|due| xids.insert(due.xid.clone()));
        dues
    }

    fn arrive<'b>(&self, dues: impl IntoIterator<Item = &'b Due>) {
        let mut xids = self.xids();
        for due in dues {
            xids.remove(&due.xid);
        }
    }
}

impl Tc {
    pub(super) async fn work(&self, shutdown: CancellationToken) {
        let (launch, mut launched) = mpsc::unbounded_channel();
        let flights = Arc::new(Flights {
            launch,
            turns: Semaphore::new(ABREAST),
            xids: Mutex::default(),
            asks_parked: AtomicBool::new(false),
            purged: Mutex::default(),
            looked: Mutex::default(),
            counted: Mutex::default(),
        });
        let look = async {
            // Dropped with this future, and by the flights: then no more can come.
            let flights = flights;
            work("dtx-coordinator", self.0.options.poll, &self.0.wake, &shutdown, || self.step(&flights)).await;
        };
        let fly = async {
            let mut flying = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(flight) = launched.recv() => flying.push(flight),
                    Some(()) = flying.next() => {}
                    else => break,
                }
            }
        };
        tokio::join!(look, fly);
    }

    async fn step<'a>(&'a self, flights: &Arc<Flights<'a>>) -> Result<Progress, DtxError> {
        self.beat().await?;
        self.leave().await?;
        self.chores(flights).await?;
        tokio::time::sleep(GATHER).await;
        let due = self.0.store.due(&self.shift(BATCH)).await?;
        let full = due.len() == usize::try_from(BATCH).unwrap_or_default();
        let (committing, others): (Vec<_>, Vec<_>) =
            flights.depart(due).into_iter().partition(|due| due.status == GlobalStatus::Committing);
        let more = full && !(committing.is_empty() && others.is_empty());
        if !committing.is_empty() {
            let own = Arc::clone(flights);
            launch(flights, async move {
                if let Err(error) = self.commit_together(committing.clone()).await {
                    tracing::warn!(%error, "second phases failed");
                }
                own.arrive(&committing);
            });
        }
        let mut orphans = Vec::new();
        if is_past(&flights.looked, (self.claim() / 4).max(LOOK)) {
            orphans = flights.depart(self.orphans().await?);
            if !self.0.store.waiters().await?.is_empty() {
                // Whoever freed rows may have died before it served the queue, and whoever waits before it looked.
                self.serve().await?;
            }
            is_done(&flights.looked);
        }
        let others = others.into_iter().map(|due| (due, Reason::Timeout));
        for (due, reason) in others.chain(orphans.into_iter().map(|due| (due, Reason::Recovered))) {
            let own = Arc::clone(flights);
            launch(flights, async move {
                let _turn = own.turns.acquire().await;
                if let Err(error) = self.advance(&due, reason).await {
                    tracing::warn!(xid = due.xid, %error, "second phase failed");
                }
                own.arrive([&due]);
            });
        }
        Ok(if more { Progress::More } else { Progress::Idle })
    }

    async fn chores<'a>(&'a self, flights: &Arc<Flights<'a>>) -> Result<(), DtxError> {
        if is_past(&flights.counted, COUNT) {
            self.count().await?;
            is_done(&flights.counted);
        }
        if !is_past(&flights.purged, PURGE) {
            return Ok(());
        }
        self.0.store.purge(self.0.options.retention).await?;
        is_done(&flights.purged);
        if !flights.asks_parked.swap(true, Ordering::SeqCst) {
            let own = Arc::clone(flights);
            launch(flights, async move {
                if let Err(error) = self.ask_all_parked().await {
                    tracing::warn!(%error, "parked branches were not asked for");
                }
                own.asks_parked.store(false, Ordering::SeqCst);
            });
        }
        Ok(())
    }
}

impl Tc {
    async fn count(&self) -> Result<(), DtxError> {
        let tallies = self.0.store.tally().await?;
        for status in
            GlobalStatus::ALL.into_iter().filter(|status| !status.is_over() || *status == GlobalStatus::Parked)
        {
            let tally = tallies.iter().find(|tally| tally.status == status);
            let count = tally.map_or(0, |tally| u32::try_from(tally.count).unwrap_or(u32::MAX));
            let oldest = tally.map_or(0.0, |tally| tally.oldest.as_secs_f64());
            metrics::gauge!("onceward_dtx_transactions", "status" => status.as_str()).set(count);
            metrics::gauge!("onceward_dtx_oldest_seconds", "status" => status.as_str()).set(oldest);
        }
        let waiters = u32::try_from(self.0.store.waiters().await?.len()).unwrap_or(u32::MAX);
        metrics::gauge!("onceward_dtx_waiters").set(waiters);
        Ok(())
    }
}

fn launch<'a>(flights: &Flights<'a>, flight: impl Future<Output = ()> + Send + 'a) {
    // The other end lives as long as the loop.
    let _ = flights.launch.send(Box::pin(flight));
}
