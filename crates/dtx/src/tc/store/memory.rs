//! A coordinator's state in memory: for tests. A process that dies takes every decision with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::BackendError;
use tokio::time::Instant;

use super::{Conflict, Decided, Due, NewWaiter, Registration, Shift, Standing, Tally, TcStore};
use crate::coordinator::{BranchInfo, LockInfo, NewBranch, TransactionFilter, TransactionInfo, WaiterInfo};
use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, Decision, GlobalStatus, Reason, admits, decided, is_overdue, settled};
use crate::tc::turn::Answer;

mod queue;
mod sight;

use queue::{Answered, Waiter};

/// A [`TcStore`] in memory, **for tests only**: it survives nothing, so a crash between two local commits could never be
/// repaired. It runs the same conformance suite as the others.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    globals: HashMap<String, Global>,
    /// The transactions that are not over: few among all outcomes that are kept.
    open: HashSet<String>,
    locks: HashMap<String, Lock>,
    /// In the order of arrival.
    queue: Vec<Waiter>,
    answered: Vec<Answered>,
    /// Until when coordinators live at least.
    owners: HashMap<String, Instant>,
    begun: u64,
}

#[derive(Debug)]
struct Global {
    number: u64,
    name: String,
    status: GlobalStatus,
    reason: Option<Reason>,
    began: Instant,
    deadline: Instant,
    due: Instant,
    ended: Option<Instant>,
    tries: u32,
    branches: Vec<Branch>,
    /// Ids of all its locks, those of branches and those that it waited for.
    locks: HashSet<String>,
}

#[derive(Clone, Debug)]
struct Branch {
    info: BranchInfo,
    locks: Vec<String>,
}

#[derive(Debug)]
struct Lock {
    key: LockKey,
    xid: String,
    since: Instant,
}

impl Global {
    fn standing(&self) -> Standing {
        Standing { status: self.status, reason: self.reason }
    }

    fn due(&self, xid: &str) -> Due {
        Due { xid: xid.to_owned(), status: self.status, tries: self.tries }
    }

    /// True if a branch of these resources is open, or none at all.
    fn is_for(&self, resources: &BTreeSet<String>) -> bool {
        let mut open = self.branches.iter().filter(|branch| branch.info.status == BranchStatus::Registered).peekable();
        open.peek().is_none() || open.any(|branch| resources.contains(&branch.info.resource_id))
    }
}

impl State {
    /// The first of these locks that somebody else holds.
    fn conflict<'a>(&self, xid: Option<&str>, ids: impl Iterator<Item = &'a String>) -> Option<Conflict> {
        let held = |id: &'a String| self.locks.get(id).filter(|lock| xid != Some(lock.xid.as_str()));
        let (_, lock) = ids.filter_map(|id| Some((id, held(id)?))).min_by_key(|(id, _)| *id)?;
        let status = self.globals.get(&lock.xid).map_or(GlobalStatus::Parked, |global| global.status);
        Some(Conflict { lock: lock.key.clone(), holder: lock.xid.clone(), status })
    }

    /// Gives an open transaction all these rows, or none.
    fn admit(&mut self, xid: &str, locks: &[LockKey]) -> Registration {
        let Some(global) = self.globals.get(xid) else { return Registration::Ended(None) };
        if !admits(global.status, global.deadline > Instant::now()) {
            return Registration::Ended(Some(global.status));
        }
        let ids: Vec<_> = locks.iter().map(LockKey::id).collect();
        if let Some(conflict) = self.conflict(Some(xid), ids.iter()).or_else(|| self.queued(xid, locks)) {
            return Registration::Conflict(conflict);
        }
        self.take(xid, locks);
        Registration::Registered
    }

    fn take(&mut self, xid: &str, locks: &[LockKey]) {
        let Some(global) = self.globals.get_mut(xid) else { return };
        for key in locks {
            let id = key.id();
            global.locks.insert(id.clone());
            let lock = || Lock { key: key.clone(), xid: xid.to_owned(), since: Instant::now() };
            self.locks.entry(id).or_insert_with(lock);
        }
    }

    /// Frees the locks of a transaction but the kept ones, and answers if somebody waits for one of them.
    fn free(&mut self, xid: &str, kept: &HashSet<String>) -> bool {
        let Some(global) = self.globals.get_mut(xid) else { return false };
        let freed: HashSet<_> = global.locks.extract_if(|id| !kept.contains(id)).collect();
        for id in &freed {
            self.locks.remove(id);
        }
        self.queue.iter().any(|waiter| waiter.asked.locks.iter().any(|lock| freed.contains(&lock.id())))
    }

    fn open(&self) -> impl Iterator<Item = (&String, &Global)> {
        self.open.iter().filter_map(|xid| self.globals.get_key_value(xid))
    }

    fn settle(&mut self, xid: &str, end: impl Fn(i64) -> Option<BranchStatus>) -> Option<Decided> {
        let global = self.globals.get_mut(xid)?;
        for branch in &mut global.branches {
            if let Some(answer) = end(branch.info.branch_id) {
                branch.info.status = branch.info.status.after(answer);
            }
        }
        let statuses: Vec<_> = global.branches.iter().map(|branch| branch.info.status).collect();
        let after = settled(global.status, &statuses);
        if global.status != after {
            global.status = after;
            global.ended = Some(Instant::now());
        }
        let standing = global.standing();
        if !after.is_over() && after != GlobalStatus::RollingBack {
            return Some(Decided { standing, wanted: false });
        }
        let left = global.branches.iter().filter(|branch| branch.info.status != BranchStatus::Done);
        let kept = left.flat_map(|branch| branch.locks.clone()).collect();
        if after.is_over() {
            global.branches.retain(|branch| branch.info.status == BranchStatus::Parked);
            self.open.remove(xid);
        }
        Some(Decided { standing, wanted: self.free(xid, &kept) })
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TcStore for MemoryStore {
    async fn begin(&self, xid: &str, name: &str, timeout: Duration) -> Result<(), BackendError> {
        let mut state = self.state();
        if state.globals.contains_key(xid) {
            return Ok(());
        }
        state.begun += 1;
        let now = Instant::now();
        let global = Global {
            number: state.begun,
            name: name.to_owned(),
            status: GlobalStatus::Active,
            reason: None,
            began: now,
            deadline: now + timeout,
            due: now,
            ended: None,
            tries: 0,
            branches: Vec::new(),
            locks: HashSet::new(),
        };
        state.open.insert(xid.to_owned());
        state.globals.insert(xid.to_owned(), global);
        Ok(())
    }

    async fn register(&self, branch: &NewBranch) -> Result<Registration, BackendError> {
        let mut state = self.state();
        let is_known = |global: &Global| global.branches.iter().any(|held| held.info.branch_id == branch.branch_id);
        let known = state.globals.get(&branch.xid).is_some_and(is_known);
        let locks = if known { &[] } else { &*branch.locks };
        let registration = state.admit(&branch.xid, locks);
        if registration == Registration::Registered
            && !known
            && let Some(global) = state.globals.get_mut(&branch.xid)
        {
            global.branches.push(Branch {
                info: BranchInfo {
                    branch_id: branch.branch_id,
                    resource_id: branch.resource_id.clone(),
                    status: BranchStatus::Registered,
                },
                locks: branch.locks.iter().map(LockKey::id).collect(),
            });
        }
        Ok(registration)
    }

    async fn take(&self, xid: &str, locks: &[LockKey]) -> Result<Registration, BackendError> {
        Ok(self.state().admit(xid, locks))
    }

    async fn decide(&self, xid: &str, decision: Decision, due: Duration) -> Result<Option<Decided>, BackendError> {
        let mut state = self.state();
        let Some(global) = state.globals.get_mut(xid) else { return Ok(None) };
        let mut free = false;
        if global.status == GlobalStatus::Active {
            let now = Instant::now();
            global.status = decided(global.status, decision, !global.branches.is_empty());
            global.due = now + due;
            global.ended = global.status.is_over().then_some(now);
            if let Decision::Rollback(reason) = decision {
                global.reason = Some(reason);
            }
            free = decision == Decision::Commit || global.status.is_over();
        }
        let standing = global.standing();
        if standing.status.is_over() {
            state.open.remove(xid);
        }
        Ok(Some(Decided { standing, wanted: free && state.free(xid, &HashSet::new()) }))
    }

    async fn branches(&self, xid: &str) -> Result<Vec<BranchInfo>, BackendError> {
        let state = self.state();
        let branches = state.globals.get(xid).map(|global| global.branches.iter().map(|branch| branch.info.clone()));
        Ok(branches.map(Iterator::collect).unwrap_or_default())
    }

    async fn settle(&self, xid: &str, ends: &[(i64, BranchStatus)]) -> Result<Option<Decided>, BackendError> {
        let end = |branch_id| ends.iter().find(|(id, _)| *id == branch_id).map(|(_, status)| *status);
        Ok(self.state().settle(xid, end))
    }

    async fn end_committed(&self, xids: &[&str]) -> Result<(), BackendError> {
        let mut state = self.state();
        for xid in xids {
            if state.globals.get(*xid).is_some_and(|global| global.status == GlobalStatus::Committing) {
                state.settle(xid, |_| Some(BranchStatus::Done));
            }
        }
        Ok(())
    }

    async fn enqueue(&self, waiter: &NewWaiter) -> Result<Vec<(String, Answer)>, BackendError> {
        let mut state = self.state();
        state.queue.push(Waiter { asked: waiter.clone(), until: Instant::now() + waiter.patience });
        Ok(state.serve(&waiter.owner))
    }

    async fn serve(&self, owner: &str) -> Result<Vec<(String, Answer)>, BackendError> {
        Ok(self.state().serve(owner))
    }

    async fn answers(&self, owner: &str) -> Result<Vec<(String, Option<Answer>)>, BackendError> {
        let mut state = self.state();
        let answered = state.answered.extract_if(.., |answered| answered.asked.owner == owner);
        let mut answers: Vec<_> = answered.map(|Answered { asked, answer }| (asked.waiter, Some(answer))).collect();
        let own = state.queue.iter().filter(|waiter| waiter.asked.owner == owner);
        answers.extend(own.map(|waiter| (waiter.asked.waiter.clone(), None)));
        Ok(answers)
    }

    async fn leave(&self, waiters: &[&str]) -> Result<(), BackendError> {
        let mut state = self.state();
        state.queue.retain(|waiter| !waiters.contains(&waiter.asked.waiter.as_str()));
        state.answered.retain(|answered| !waiters.contains(&answered.asked.waiter.as_str()));
        Ok(())
    }

    async fn waiters(&self) -> Result<Vec<WaiterInfo>, BackendError> {
        let state = self.state();
        let holder = |lock: &LockKey| state.locks.get(&lock.id()).map(|lock| lock.xid.clone());
        let wants = |asked: &NewWaiter| asked.locks.iter().map(|lock| (lock.clone(), holder(lock))).collect();
        let info = |Waiter { asked, .. }: &Waiter| WaiterInfo { xid: asked.xid.clone(), wants: wants(asked) };
        Ok(state.queue.iter().map(info).collect())
    }

    async fn parked(&self) -> Result<Vec<(String, BranchInfo)>, BackendError> {
        let state = self.state();
        let branches =
            state.globals.iter().flat_map(|(xid, global)| global.branches.iter().rev().map(move |one| (xid, one)));
        let parked = branches.filter(|(_, branch)| branch.info.status == BranchStatus::Parked);
        Ok(parked.map(|(xid, branch)| (xid.clone(), branch.info.clone())).collect())
    }

    async fn postpone(&self, xid: &str, pause: Duration) -> Result<(), BackendError> {
        if let Some(global) = self.state().globals.get_mut(xid) {
            global.due = Instant::now() + pause;
            global.tries += 1;
        }
        Ok(())
    }

    async fn due(&self, shift: &Shift) -> Result<Vec<Due>, BackendError> {
        let (mut state, now) = (self.state(), Instant::now());
        let ready = state.open().filter(|(_, global)| match global.status {
            GlobalStatus::Active => is_overdue(global.status, global.deadline > now),
            status => {
                !status.is_over()
                    && (global.due <= now || global.due > now + shift.longest)
                    && shift.resources.as_ref().is_none_or(|resources| global.is_for(resources))
            }
        });
        let limit = usize::try_from(shift.limit).unwrap_or_default();
        let due: Vec<_> = ready.take(limit).map(|(xid, global)| global.due(xid)).collect();
        for Due { xid, .. } in due.iter().filter(|due| due.status != GlobalStatus::Active && !shift.claim.is_zero()) {
            if let Some(global) = state.globals.get_mut(xid) {
                global.due = now + shift.claim;
            }
        }
        Ok(due)
    }

    async fn beat(&self, owner: &str, lease: Duration) -> Result<(), BackendError> {
        self.state().owners.insert(owner.to_owned(), Instant::now() + lease);
        Ok(())
    }

    async fn orphans(&self, limit: i64) -> Result<Vec<Due>, BackendError> {
        let (mut state, now) = (self.state(), Instant::now());
        state.owners.retain(|_, until| *until > now);
        let lives = |xid: &String| state.owners.keys().any(|owner| xid.starts_with(owner.as_str()));
        let orphans = state.open().filter(|(xid, global)| global.status == GlobalStatus::Active && !lives(xid));
        Ok(orphans.take(usize::try_from(limit).unwrap_or_default()).map(|(xid, global)| global.due(xid)).collect())
    }

    async fn unfinished(&self) -> Result<Vec<Due>, BackendError> {
        let state = self.state();
        let mut open: Vec<_> = state.open().collect();
        open.sort_by_key(|(_, global)| global.number);
        Ok(open.into_iter().map(|(xid, global)| global.due(xid)).collect())
    }

    async fn held(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<Option<Conflict>, BackendError> {
        let ids: Vec<_> = locks.iter().map(LockKey::id).collect();
        Ok(self.state().conflict(xid, ids.iter()))
    }

    async fn holds(&self, xid: &str, locks: &[LockKey]) -> Result<bool, BackendError> {
        let state = self.state();
        let open = state.globals.get(xid).filter(|global| global.status == GlobalStatus::Active);
        Ok(open.is_some_and(|global| locks.iter().all(|lock| global.locks.contains(&lock.id()))))
    }

    async fn find(&self, xid: &str) -> Result<Option<Standing>, BackendError> {
        Ok(self.state().globals.get(xid).map(Global::standing))
    }

    async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, BackendError> {
        Ok(self.state().show_transactions(filter))
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        Ok(self.state().count_transactions())
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, BackendError> {
        let state = self.state();
        Ok(state.locks.values().map(|lock| state.lock_info(lock)).collect())
    }

    async fn purge(&self, older: Duration) -> Result<u64, BackendError> {
        let state = &mut *self.state();
        let (before, open) = (state.globals.len(), &state.open);
        state.answered.retain(|answered| open.contains(&answered.asked.xid));
        state.globals.retain(|_, global| {
            global.status == GlobalStatus::Parked || global.ended.is_none_or(|ended| ended.elapsed() < older)
        });
        Ok((before - state.globals.len()) as u64)
    }
}
