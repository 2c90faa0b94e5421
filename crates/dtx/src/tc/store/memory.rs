//! A coordinator's state in memory: for tests. A process that dies takes every decision with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::BackendError;
use tokio::time::Instant;

use super::{Conflict, Decided, Due, Registration, Standing, TcStore};
use crate::coordinator::{BranchInfo, LockInfo, NewBranch, TransactionInfo};
use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, Decision, GlobalStatus, Reason, decided, settled};

/// A [`TcStore`] in memory, **for tests only**: it survives nothing, so a crash between two local commits could never be
/// repaired. It runs the same conformance suite as the others.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    globals: HashMap<String, Global>,
    locks: HashMap<String, Lock>,
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
}

impl State {
    fn conflict(&self, xid: Option<&str>, locks: &[LockKey]) -> Option<Conflict> {
        let mut held: Vec<_> = locks
            .iter()
            .filter_map(|key| self.locks.get(&key.id()))
            .filter(|lock| xid != Some(lock.xid.as_str()))
            .collect();
        held.sort_by_key(|lock| lock.key.id());
        let lock = held.first()?;
        let status = self.globals.get(&lock.xid).map_or(GlobalStatus::Parked, |global| global.status);
        Some(Conflict { lock: lock.key.clone(), holder: lock.xid.clone(), status })
    }

    fn free(&mut self, xid: &str, kept: &[String]) -> Vec<String> {
        let freed: Vec<_> = self
            .locks
            .iter()
            .filter(|(id, lock)| lock.xid == xid && !kept.contains(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &freed {
            self.locks.remove(id);
        }
        freed
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
        };
        state.globals.insert(xid.to_owned(), global);
        Ok(())
    }

    async fn register(&self, branch: &NewBranch) -> Result<Registration, BackendError> {
        let mut state = self.state();
        let now = Instant::now();
        let Some(global) = state.globals.get(&branch.xid) else {
            return Ok(Registration::Ended(None));
        };
        if global.status != GlobalStatus::Active || global.deadline <= now {
            return Ok(Registration::Ended(Some(global.status)));
        }
        if global.branches.iter().any(|held| held.info.branch_id == branch.branch_id) {
            return Ok(Registration::Registered);
        }
        if let Some(conflict) = state.conflict(Some(&branch.xid), &branch.locks) {
            return Ok(Registration::Conflict(conflict));
        }
        for key in &branch.locks {
            let lock = Lock { key: key.clone(), xid: branch.xid.clone(), since: now };
            state.locks.entry(key.id()).or_insert(lock);
        }
        if let Some(global) = state.globals.get_mut(&branch.xid) {
            global.branches.push(Branch {
                info: BranchInfo {
                    branch_id: branch.branch_id,
                    resource_id: branch.resource_id.clone(),
                    status: BranchStatus::Registered,
                },
                locks: branch.locks.iter().map(LockKey::id).collect(),
            });
        }
        Ok(Registration::Registered)
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
        let freed = if free { state.free(xid, &[]) } else { Vec::new() };
        Ok(Some(Decided { standing, freed }))
    }

    async fn branches(&self, xid: &str) -> Result<Vec<BranchInfo>, BackendError> {
        let state = self.state();
        let branches = state.globals.get(xid).map(|global| global.branches.iter().map(|branch| branch.info.clone()));
        Ok(branches.map(Iterator::collect).unwrap_or_default())
    }

    async fn settle(&self, xid: &str, ends: &[(i64, BranchStatus)]) -> Result<Option<Decided>, BackendError> {
        let mut state = self.state();
        let Some(global) = state.globals.get_mut(xid) else { return Ok(None) };
        for branch in &mut global.branches {
            let end = ends.iter().find(|(id, _)| *id == branch.info.branch_id);
            if let (BranchStatus::Registered, Some((_, status))) = (branch.info.status, end) {
                branch.info.status = *status;
            }
        }
        let statuses: Vec<_> = global.branches.iter().map(|branch| branch.info.status).collect();
        let (before, after) = (global.status, settled(global.status, &statuses));
        let mut freed = Vec::new();
        if before != after {
            global.status = after;
            global.ended = Some(Instant::now());
            global.branches.retain(|branch| branch.info.status == BranchStatus::Parked);
            let kept: Vec<_> = global.branches.iter().flat_map(|branch| branch.locks.clone()).collect();
            freed = state.free(xid, &kept);
        }
        Ok(state.globals.get(xid).map(|global| Decided { standing: global.standing(), freed }))
    }

    async fn postpone(&self, xid: &str, pause: Duration) -> Result<(), BackendError> {
        if let Some(global) = self.state().globals.get_mut(xid) {
            global.due = Instant::now() + pause;
            global.tries += 1;
        }
        Ok(())
    }

    async fn due(&self, limit: i64) -> Result<Vec<Due>, BackendError> {
        let (state, now) = (self.state(), Instant::now());
        let ready = state.globals.iter().filter(|(_, global)| match global.status {
            GlobalStatus::Active => global.deadline <= now,
            status => !status.is_over() && global.due <= now,
        });
        let limit = usize::try_from(limit).unwrap_or_default();
        Ok(ready.take(limit).map(|(xid, global)| global.due(xid)).collect())
    }

    async fn unfinished(&self) -> Result<Vec<Due>, BackendError> {
        let state = self.state();
        let mut open: Vec<_> = state.globals.iter().filter(|(_, global)| !global.status.is_over()).collect();
        open.sort_by_key(|(_, global)| global.number);
        Ok(open.into_iter().map(|(xid, global)| global.due(xid)).collect())
    }

    async fn held(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<Option<Conflict>, BackendError> {
        Ok(self.state().conflict(xid, locks))
    }

    async fn find(&self, xid: &str) -> Result<Option<Standing>, BackendError> {
        Ok(self.state().globals.get(xid).map(Global::standing))
    }

    async fn transactions(&self) -> Result<Vec<TransactionInfo>, BackendError> {
        let state = self.state();
        let mut shown: Vec<_> = state
            .globals
            .iter()
            .filter(|(_, global)| !global.status.is_over() || global.status == GlobalStatus::Parked)
            .collect();
        shown.sort_by_key(|(_, global)| global.number);
        let info = |(xid, global): (&String, &Global)| TransactionInfo {
            xid: xid.clone(),
            name: global.name.clone(),
            status: global.status,
            reason: global.reason,
            age: global.began.elapsed(),
            branches: global.branches.iter().map(|branch| branch.info.clone()).collect(),
        };
        Ok(shown.into_iter().map(info).collect())
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, BackendError> {
        let state = self.state();
        let info = |lock: &Lock| LockInfo {
            resource_id: lock.key.resource_id.clone(),
            table: lock.key.table.clone(),
            key: lock.key.key.clone(),
            xid: lock.xid.clone(),
            age: lock.since.elapsed(),
            parked: state.globals.get(&lock.xid).is_none_or(|global| global.status == GlobalStatus::Parked),
        };
        Ok(state.locks.values().map(info).collect())
    }

    async fn purge(&self, older: Duration) -> Result<u64, BackendError> {
        let mut state = self.state();
        let before = state.globals.len();
        state.globals.retain(|_, global| {
            global.status == GlobalStatus::Parked || global.ended.is_none_or(|ended| ended.elapsed() < older)
        });
        Ok((before - state.globals.len()) as u64)
    }
}
