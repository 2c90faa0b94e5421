//! The global transaction of the running task, and how it is put aside or carried into another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::DtxError;
use crate::tc::state::Reason;

tokio::task_local! {
    static CURRENT: Option<Global>;
}

/// The global transaction that this task runs in, if it runs in one. Tasks that are spawned inside do not, unless by
/// [`spawn`].
pub fn current() -> Option<Global> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

// Plain functions: an `async fn` would hold the work twice, before and while it runs, and nested transactions with it.
pub(crate) fn scope<F: Future>(global: Global, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(Some(global), work)
}

/// Runs `work` without the current global transaction, which goes on after it: a branch in it is
/// [`DtxError::NoTransaction`], and a [`Dtx::run`](crate::Dtx::run) begins one of its own.
pub fn without<F: Future>(work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(None, work)
}

/// Runs `work` in a global transaction that another task has begun. It must have ended when that transaction is
/// decided: while it runs, the transaction can only roll back.
///
/// # Errors
/// The error of `work`, which is for the owner of the transaction to judge. [`DtxError::Ended`] if the transaction is
/// being decided; `work` is not run then.
///
/// # Cancel safety
/// That of `work`.
pub async fn within<T, E, F>(global: Global, work: F) -> Result<T, E>
where
    E: From<DtxError>,
    F: Future<Output = Result<T, E>>,
{
    let part = global.carry();
    if global.is_closed() {
        return Err(DtxError::Ended { xid: global.xid().to_owned(), status: None }.into());
    }
    let answer = scope(global, Box::pin(work)).await;
    drop(part);
    answer
}

/// Spawns `work` as a task of its own that carries the current global transaction, if there is one.
///
/// Await it before the closure of the transaction ends. If it still runs then, nobody knows what it was going to
/// change: the whole is rolled back for [`Reason::Doubt`], and a later branch of the task is refused with
/// [`DtxError::Ended`]. What it answers, a panic too, is for the one who awaits it to judge.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    // Counted from here on, not from the first poll: the task may begin late.
    let carried = current().map(|global| (global.carry(), global));
    let (part, global) = carried.unzip();
    let work = CURRENT.scope(global, work);
    tokio::runtime::Handle::current().spawn(async move {
        let answer = work.await;
        drop(part);
        answer
    })
}

/// An open global transaction. Cheap to clone; dropping it decides nothing.
#[derive(Clone, Debug)]
pub struct Global(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    xid: String,
    name: String,
    deadline: Instant,
    closed: AtomicBool,
    carried: AtomicUsize,
    nested_failure: AtomicBool,
    in_doubt: AtomicUsize,
}

impl Global {
    pub(crate) fn new(xid: String, name: String, deadline: Instant) -> Self {
        let (closed, nested_failure) = (AtomicBool::new(false), AtomicBool::new(false));
        let (carried, in_doubt) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { xid, name, deadline, closed, carried, nested_failure, in_doubt }))
    }

    /// The id of the transaction, by which every database and the coordinator know it.
    pub fn xid(&self) -> &str {
        &self.0.xid
    }

    /// The name from its options; empty if another service has begun it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// When it is rolled back if it is not decided.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// How long it may still stay undecided.
    pub fn remaining(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn fail_nested(&self) {
        self.0.nested_failure.store(true, Ordering::SeqCst);
    }

    /// Lets nothing more be carried into other tasks. Whatever is carried later sees that it is closed, and whatever
    /// was carried earlier is seen by [`doom`](Self::doom).
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    fn carry(&self) -> Carried {
        self.0.carried.fetch_add(1, Ordering::SeqCst);
        Carried(self.clone())
    }

    /// Why it must not commit, if so.
    pub(crate) fn doom(&self) -> Option<Reason> {
        let some = |count: &AtomicUsize| count.load(Ordering::SeqCst) > 0;
        if some(&self.0.in_doubt) || self.is_closed() && some(&self.0.carried) {
            return Some(Reason::Doubt);
        }
        self.0.nested_failure.load(Ordering::SeqCst).then_some(Reason::Nested)
    }

    /// Says that a branch is about to register and commit locally. While the answer is out, the whole can only roll
    /// back.
    #[cfg(feature = "sql")]
    pub(crate) fn enter_doubt(&self) -> Doubt {
        self.0.in_doubt.fetch_add(1, Ordering::SeqCst);
        Doubt(self.clone())
    }
}

/// Work of the transaction in another task.
#[derive(Debug)]
struct Carried(Global);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.0.carried.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A local commit whose answer is out. Dropping it leaves the doubt for good: a dropped commit may have taken effect.
#[cfg(feature = "sql")]
#[derive(Debug)]
#[must_use]
pub(crate) struct Doubt(Global);

#[cfg(feature = "sql")]
impl Doubt {
    /// The outcome is known.
    pub(crate) fn settle(self) {
        self.0.0.in_doubt.fetch_sub(1, Ordering::SeqCst);
    }
}
