//! The state as people see it.

use std::collections::HashMap;
use std::time::Duration;

use super::{Global, Lock, State};
use crate::coordinator::{LockInfo, TransactionFilter, TransactionInfo};
use crate::tc::state::GlobalStatus;
use crate::tc::store::Tally;

impl State {
    pub(super) fn show_transactions(&self, filter: &TransactionFilter) -> Vec<TransactionInfo> {
        let is_shown = |(xid, global): &(&String, &Global)| {
            filter.xid.as_ref().is_none_or(|only| only == *xid)
                && filter.states.contains(&global.status)
                && global.began.elapsed() >= filter.older_than
                && global.tries >= filter.tries
        };
        let mut shown: Vec<_> = self.globals.iter().filter(is_shown).collect();
        shown.sort_by_key(|(_, global)| global.number);
        shown.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        let info = |(xid, global): (&String, &Global)| TransactionInfo {
            xid: xid.clone(),
            name: global.name.clone(),
            status: global.status,
            reason: global.reason,
            age: global.began.elapsed(),
            tries: global.tries,
            branches: global.branches.iter().map(|branch| branch.info.clone()).collect(),
            locks: global.locks.iter().filter_map(|id| self.locks.get(id)).map(|lock| self.lock_info(lock)).collect(),
            wants: Vec::new(),
            waiters: Vec::new(),
        };
        shown.into_iter().map(info).collect()
    }

    pub(super) fn count_transactions(&self) -> Vec<Tally> {
        let mut tallies = HashMap::<GlobalStatus, Tally>::new();
        let is_shown = |status: GlobalStatus| !status.is_over() || status == GlobalStatus::Parked;
        for Global { status, began, .. } in self.globals.values().filter(|global| is_shown(global.status)) {
            let fresh = Tally { status: *status, count: 0, oldest: Duration::ZERO };
            let tally = tallies.entry(*status).or_insert(fresh);
            tally.count += 1;
            tally.oldest = tally.oldest.max(began.elapsed());
        }
        tallies.into_values().collect()
    }

    pub(super) fn lock_info(&self, lock: &Lock) -> LockInfo {
        LockInfo {
            resource_id: lock.key.resource_id.clone(),
            table: lock.key.table.clone(),
            key: lock.key.key.clone(),
            xid: lock.xid.clone(),
            age: lock.since.elapsed(),
            parked: self.globals.get(&lock.xid).is_none_or(|global| global.status == GlobalStatus::Parked),
        }
    }
}
