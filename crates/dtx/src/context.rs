//! The global transaction of the running task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Global;
}

/// The global transaction that this task runs in, if it runs in one. Tasks that are spawned inside do not.
pub fn current() -> Option<Global> {
    CURRENT.try_with(Clone::clone).ok()
}

pub(crate) async fn scope<F: Future>(global: Global, work: F) -> F::Output {
    CURRENT.scope(global, work).await
}

/// An open global transaction. Cheap to clone; dropping it decides nothing.
#[derive(Clone, Debug)]
pub struct Global(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    xid: String,
    name: String,
    deadline: Instant,
    nested_failure: AtomicBool,
    in_doubt: AtomicUsize,
}

impl Global {
    pub(crate) fn new(xid: String, name: String, deadline: Instant) -> Self {
        let (nested_failure, in_doubt) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self(Arc::new(Inner { xid, name, deadline, nested_failure, in_doubt }))
    }

    /// The id of the transaction, by which every database and the coordinator know it.
    pub fn xid(&self) -> &str {
        &self.0.xid
    }

    /// The name from its options.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// When it is rolled back if it is not decided.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    pub(crate) fn fail_nested(&self) {
        self.0.nested_failure.store(true, Ordering::SeqCst);
    }

    pub(crate) fn nested_failed(&self) -> bool {
        self.0.nested_failure.load(Ordering::SeqCst)
    }

    /// Says that a branch is about to register and commit locally. While the answer is out, the whole can only roll back.
    #[cfg(feature = "sql")]
    pub(crate) fn enter_doubt(&self) -> Doubt {
        self.0.in_doubt.fetch_add(1, Ordering::SeqCst);
        Doubt(self.clone())
    }

    pub(crate) fn in_doubt(&self) -> bool {
        self.0.in_doubt.load(Ordering::SeqCst) > 0
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
