//! The coordinator inside your process.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::RetryPolicy;
use onceward_backend::internal::mark;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::DtxError;
use crate::coordinator::rm::Rm;
use crate::coordinator::{Coordinator, LockInfo, NewBranch, Recovered, TransactionFilter, TransactionInfo, WaiterInfo};

mod gather;
pub mod lock;
mod recovery;
mod silence;
pub mod state;
pub mod store;
mod together;
pub mod turn;
mod waiting;
mod worker;

use gather::Gather;
use lock::LockKey;
use silence::{CALL, Silence};
use state::{Decision, GlobalStatus, Reason};
use store::{Conflict, Decided, Due, NewGlobal, Registration, Shift, TcStore};
use waiting::Waiters;

/// Characters of a coordinator's name, with which the xids that it gives begin.
const OWNER: usize = 16;
/// A branch with more locks registers by itself.
const LOCKS: usize = 64;
/// Transactions of dead coordinators that are taken at once.
const ORPHANS: i64 = 64;
/// How long the worker leaves a rollback to the caller who decided it.
const HEAD_START: Duration = Duration::from_secs(1);

/// A [`Coordinator`] in this process over a [`TcStore`]. Cheap to clone.
///
/// By itself it is alone on its store: [`recover`](Coordinator::recover) takes whatever is undecided for left behind by a dead
/// process. Several on one store say so by [`TcOptions::with_peers`].
#[derive(Clone)]
pub struct Tc(Arc<Inner>);

struct Inner {
    store: Arc<dyn TcStore>,
    options: TcOptions,
    rm: OnceLock<Rm>,
    /// The name of this coordinator among those that share its store.
    owner: String,
    /// When it last said that it lives.
    beaten: Mutex<Option<Instant>>,
    silence: Silence,
    begins: Gather<NewGlobal, ()>,
    registrations: Gather<NewBranch, Registration>,
    commits: Gather<String, Option<Decided>>,
    waiters: Waiters,
    wake: Notify,
}

/// Settings of a [`Tc`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcOptions {
    /// How often the worker looks for work that nobody woke it for.
    pub poll: Duration,
    /// How long outcomes are kept; every call about an older transaction hears that it is not known.
    pub retention: Duration,
    /// The pauses between attempts of a second phase.
    pub retry: RetryPolicy,
    /// After how many attempts of a rollback the coordinator gives a branch up whose resource fails: it is parked, which ends
    /// the transaction and keeps the branch's rows locked, and asked again once a minute. None: it is tried for as long as it
    /// takes. A commit is always, since nobody waits for it.
    pub max_tries: Option<u32>,
    /// True if no other coordinator works on the store.
    pub is_alone: bool,
    /// How long a coordinator that is not alone may be silent before others take it for dead, and how long a second phase that
    /// it has taken on is its own. Only divides the work: whatever two of them do at once is right. Zero switches that
    /// off: each then does all work, and what a dead one left open ends by its deadline.
    pub lease: Duration,
}

impl Default for TcOptions {
    /// 200 ms, 24 h, pauses that grow to the policy's maximum without a limit of attempts, alone.
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            retention: Duration::from_secs(24 * 60 * 60),
            retry: RetryPolicy::exponential(),
            max_tries: None,
            is_alone: true,
            lease: Duration::from_secs(5),
        }
    }
}

impl TcOptions {
    /// Sets the poll interval.
    #[must_use]
    pub const fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Sets how long outcomes are kept.
    #[must_use]
    pub const fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Limits the attempts of a rollback: see [`TcOptions::max_tries`].
    #[must_use]
    pub const fn with_max_tries(mut self, tries: u32) -> Self {
        self.max_tries = Some(tries);
        self
    }

    /// Says that other coordinators work on the store, with the same lease: see [`TcOptions::lease`].
    #[must_use]
    pub const fn with_peers(mut self, lease: Duration) -> Self {
        (self.is_alone, self.lease) = (false, lease);
        self
    }

    /// Sets the pauses between attempts of a second phase.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Debug for Tc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tc").field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl Tc {
    /// A coordinator over a store.
    pub fn new(store: Arc<dyn TcStore>, options: TcOptions) -> Self {
        let mut owner = Uuid::new_v4().simple().to_string();
        owner.truncate(OWNER);
        Self(Arc::new(Inner {
            store,
            options,
            rm: OnceLock::new(),
            owner,
            beaten: Mutex::default(),
            silence: Silence::default(),
            begins: Gather::default(),
            registrations: Gather::default(),
            commits: Gather::default(),
            waiters: Waiters::default(),
            wake: Notify::new(),
        }))
    }

    async fn decide(&self, xid: &str, decision: Decision, due: Duration) -> Result<Decided, DtxError> {
        let store = &self.0.store;
        let request = (decision == Decision::Commit && store.gathers()).then(|| xid.to_owned());
        let all = async |xids: Vec<String>| {
            let xids: Vec<_> = xids.iter().map(String::as_str).collect();
            store.commit_all(&xids).await
        };
        let decided = self.0.commits.or_alone(request, all, store.decide(xid, decision, due)).await?;
        let decided = decided.ok_or_else(|| DtxError::Ended { xid: xid.to_owned(), status: None })?;
        self.freed(&decided).await;
        Ok(decided)
    }

    /// How long a second phase that is taken on belongs to this coordinator.
    fn claim(&self) -> Duration {
        if self.0.options.is_alone { Duration::ZERO } else { self.0.options.lease }
    }

    /// What of all that is due is for this process: everything where it is alone, else what its resources have a part in.
    fn shift(&self, limit: i64) -> Shift {
        let own = || self.rm().all().iter().map(|resource| resource.id().to_owned()).collect();
        let resources = (!self.0.options.is_alone).then(own);
        Shift { limit, claim: self.claim(), longest: self.longest_pause(), resources }
    }

    fn rm(&self) -> Rm {
        self.0.rm.get().cloned().unwrap_or_default()
    }

    /// True for the resource of another process, whose coordinator asks it.
    fn is_elsewhere(&self, resource: &str) -> bool {
        !self.0.options.is_alone && self.rm().get(resource).is_none()
    }

    /// The longest that anything is put off for; what is due later was put off by another clock.
    fn longest_pause(&self) -> Duration {
        let TcOptions { retry, lease, .. } = &self.0.options;
        retry.max.max(*lease).max(HEAD_START).saturating_mul(2)
    }

    /// Says that this coordinator lives, if it is time to.
    async fn beat(&self) -> Result<(), DtxError> {
        let lease = self.claim();
        let last = *self.0.beaten.lock().unwrap_or_else(PoisonError::into_inner);
        if lease.is_zero() || last.is_some_and(|last| last.elapsed() < lease / 4) {
            return Ok(());
        }
        let now = Instant::now();
        self.0.store.beat(&self.0.owner, lease).await?;
        *self.0.beaten.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }

    /// Open transactions of coordinators that are dead by all appearances.
    async fn orphans(&self) -> Result<Vec<Due>, DtxError> {
        match self.claim().is_zero() {
            true => Ok(Vec::new()),
            false => Ok(self.0.store.orphans(ORPHANS).await?),
        }
    }

    /// Lets those who wait have what a call freed. The call itself stands: an error here only makes them wait a little.
    async fn freed(&self, decided: &Decided) {
        if decided.wanted
            && let Err(error) = self.serve().await
        {
            tracing::warn!(%error, "the queue for rows was not served; it is by the next who looks");
        }
    }
}

fn registered(xid: &str, registration: Registration) -> Result<(), DtxError> {
    match registration {
        Registration::Registered => Ok(()),
        Registration::Conflict(held) => Err(conflict(held)),
        Registration::Ended(status) => Err(DtxError::Ended { xid: xid.to_owned(), status }),
    }
}

fn conflict(conflict: Conflict) -> DtxError {
    metrics::counter!("onceward_dtx_lock_conflicts_total").increment(1);
    let rolling_back = matches!(conflict.status, GlobalStatus::RollingBack | GlobalStatus::Parked);
    let LockKey { table, key, .. } = conflict.lock;
    DtxError::LockConflict { holder: conflict.holder, rolling_back, table, key }
}

#[async_trait]
impl Coordinator for Tc {
    fn attach(&self, rm: Rm) {
        if self.0.rm.set(rm).is_err() {
            tracing::error!("a coordinator was given to two `Dtx`; the resources of the second are never asked");
        }
    }

    fn home(&self) -> Option<String> {
        self.0.store.home()
    }

    async fn begin(&self, name: &str, timeout: Duration) -> Result<String, DtxError> {
        // Before anything of it can be seen.
        self.beat().await?;
        let xid = format!("{}.{}", self.0.owner, Uuid::now_v7().simple());
        let store = &self.0.store;
        let request = store.gathers().then(|| NewGlobal { xid: xid.clone(), name: name.to_owned(), timeout });
        let all = async |new: Vec<NewGlobal>| store.begin_all(&new).await.map(|()| vec![(); new.len()]);
        self.0.begins.or_alone(request, all, store.begin(&xid, name, timeout)).await?;
        metrics::counter!("onceward_dtx_begun_total").increment(1);
        Ok(xid)
    }

    async fn register(&self, branch: &NewBranch) -> Result<(), DtxError> {
        let store = &self.0.store;
        let request = (store.gathers() && branch.locks.len() <= LOCKS).then(|| branch.clone());
        let all = async |branches: Vec<NewBranch>| store.register_all(&branches).await;
        registered(&branch.xid, self.0.registrations.or_alone(request, all, store.register(branch)).await?)
    }

    async fn take_locks(&self, xid: &str, locks: &[LockKey]) -> Result<(), DtxError> {
        registered(xid, self.0.store.take(xid, locks).await?)
    }

    async fn phase_one_failed(&self, xid: &str, branch_id: i64) -> Result<(), DtxError> {
        self.0.store.settle(xid, &[(branch_id, state::BranchStatus::Done)]).await?;
        Ok(())
    }

    async fn check_locks(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<(), DtxError> {
        self.0.store.held(xid, locks).await?.map_or(Ok(()), |held| Err(conflict(held)))
    }

    async fn wait_for_locks(&self, xid: &str, locks: &[LockKey], at_most: Duration) -> Result<bool, DtxError> {
        self.wait(xid, locks, at_most).await
    }

    async fn holds(&self, xid: &str, locks: &[LockKey]) -> Result<bool, DtxError> {
        Ok(self.0.store.holds(xid, locks).await?)
    }

    async fn commit(&self, xid: &str) -> Result<GlobalStatus, DtxError> {
        let decided = self.decide(xid, Decision::Commit, Duration::ZERO).await?;
        let status = decided.standing.status;
        if matches!(status, GlobalStatus::Committing | GlobalStatus::Committed) {
            mark("dtx.decided");
            self.0.wake.notify_one();
        }
        Ok(status)
    }

    async fn rollback(&self, xid: &str, reason: Reason) -> Result<GlobalStatus, DtxError> {
        let decided = self.decide(xid, Decision::Rollback(reason), HEAD_START).await?;
        if decided.standing.status == GlobalStatus::RollingBack {
            mark("dtx.rolling_back");
            return self.drive(xid, decided.standing.status, 0, CALL).await;
        }
        Ok(decided.standing.status)
    }

    async fn repaired(&self, xid: &str, branch_id: i64) -> Result<Option<GlobalStatus>, DtxError> {
        let branches = self.0.store.branches(xid).await?;
        if let Some(at) = branches.iter().position(|branch| branch.branch_id == branch_id) {
            // What was given up may still have to be undone, the last branch first.
            let later = branches[at..].iter().rev().filter(|later| later.resource_id == branches[at].resource_id);
            for branch in later {
                self.ask_parked(xid, branch).await?;
            }
        }
        self.status(xid).await
    }

    async fn status(&self, xid: &str) -> Result<Option<GlobalStatus>, DtxError> {
        Ok(self.0.store.find(xid).await?.map(|standing| standing.status))
    }

    async fn reason(&self, xid: &str) -> Result<Option<Reason>, DtxError> {
        Ok(self.0.store.find(xid).await?.and_then(|standing| standing.reason))
    }

    async fn recover(&self) -> Result<Recovered, DtxError> {
        self.recover_all().await
    }

    async fn run(&self, shutdown: CancellationToken) {
        self.work(shutdown).await;
    }

    async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, DtxError> {
        let mut shown = self.0.store.transactions(filter).await?;
        for WaiterInfo { xid, wants } in self.0.store.waiters().await? {
            for holder in shown.iter_mut().filter(|holder| wants.iter().any(|(_, by)| by.as_ref() == Some(&holder.xid)))
            {
                if !holder.waiters.contains(&xid) {
                    holder.waiters.push(xid.clone());
                }
            }
            if let Some(waiter) = shown.iter_mut().find(|waiter| waiter.xid == xid) {
                waiter.wants.extend(wants);
            }
        }
        Ok(shown)
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, DtxError> {
        Ok(self.0.store.locks().await?)
    }

    async fn waiters(&self) -> Result<Vec<WaiterInfo>, DtxError> {
        Ok(self.0.store.waiters().await?)
    }
}
