//! The queue of a coordinator in memory.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::super::{Conflict, NewWaiter};
use super::State;
use crate::tc::lock::LockKey;
use crate::tc::state::{GlobalStatus, admits};
use crate::tc::turn::{self, Answer, Holder, Waiting};

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) asked: NewWaiter,
    pub(super) until: Instant,
}

/// What a waiter of another coordinator was told.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) asked: NewWaiter,
    pub(super) answer: Answer,
}

impl State {
    /// The first in the queue who wants one of these rows, for a transaction that holds none.
    pub(super) fn queued(&self, xid: &str, locks: &[LockKey]) -> Option<Conflict> {
        if self.globals.get(xid).is_some_and(|global| !global.locks.is_empty()) {
            return None;
        }
        let others = self.queue.iter().map(|waiter| &waiter.asked).filter(|asked| asked.xid != xid);
        others.into_iter().find_map(|asked| {
            let lock = locks.iter().find(|lock| asked.locks.contains(lock))?.clone();
            Some(Conflict { lock, holder: asked.xid.clone(), status: GlobalStatus::Active })
        })
    }

    pub(super) fn serve(&mut self, owner: &str) -> Vec<(String, Answer)> {
        let (now, mut served) = (Instant::now(), Vec::new());
        let mut waiting = Vec::new();
        for Waiter { asked, until } in &self.queue {
            let global = self.globals.get(&asked.xid);
            let open = global.filter(|global| admits(global.status, global.deadline > now));
            match open {
                Some(global) if *until > now => waiting.push(Waiting {
                    waiter: asked.waiter.clone(),
                    xid: asked.xid.clone(),
                    began: global.number.cast_signed(),
                    locks: asked.locks.iter().map(LockKey::id).collect(),
                }),
                Some(_) => served.push((asked.waiter.clone(), Answer::Late)),
                None => served.push((asked.waiter.clone(), Answer::Ended)),
            }
        }
        let wanted: HashSet<_> = waiting.iter().flat_map(|waiter| &waiter.locks).collect();
        let held = wanted.into_iter().filter_map(|id| {
            let xid = self.locks.get(id)?.xid.clone();
            let status = self.globals.get(&xid).map_or(GlobalStatus::Parked, |global| global.status);
            Some((id.clone(), Holder { xid, status }))
        });
        let holds = |xid: &String| self.globals.get(xid).is_some_and(|global| !global.locks.is_empty());
        let holding = waiting.iter().map(|waiter| waiter.xid.clone()).filter(holds).collect();
        let answers = turn::serve(&waiting, &held.collect(), &holding);
        served.extend(answers.into_iter().map(|(at, answer)| (waiting[at].waiter.clone(), answer)));
        let answers: HashMap<_, _> = served.into_iter().collect();
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|waiter| answers.contains_key(&waiter.asked.waiter));
        self.queue = stay;
        let mut own = Vec::new();
        for Waiter { asked, .. } in gone {
            let answer = answers[&asked.waiter];
            if answer == Answer::Granted {
                self.take(&asked.xid, &asked.locks);
            }
            if asked.owner == owner {
                own.push((asked.waiter, answer));
            } else {
                self.answered.push(Answered { asked, answer });
            }
        }
        own
    }
}
