//! Whose turn it is: the queue of transactions that wait for rows, as plain functions over plain data.
//!
//! Order of arrival, all rows or none. Two rules keep it fair without stopping anybody for ever:
//! - who holds no row yet stands behind everybody who came earlier and wants one of its rows, even a free one;
//! - who holds rows already passes those that wait for something else, since its end is what others wait for.
//!
//! So only transactions that hold rows can wait in a circle. Each circle loses the one that began last.

use std::collections::{HashMap, HashSet};

use super::state::GlobalStatus;

/// A transaction in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The place in the queue; a transaction may have several, of branches side by side.
    pub waiter: String,
    /// The transaction.
    pub xid: String,
    /// When the transaction began, in any unit.
    pub began: i64,
    /// Ids of all rows that it wants.
    pub locks: Vec<String>,
}

/// Who holds a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The transaction.
    pub xid: String,
    /// Where it stands.
    pub status: GlobalStatus,
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Answer {
    /// All its rows belong to its transaction now.
    Granted,
    /// It waited in a circle and is the one to give way.
    Deadlock,
    /// A row is held by a parked transaction, which only a person ends.
    Parked,
    /// Its transaction takes no more branches.
    Ended,
    /// It has waited for as long as it wanted to.
    Late,
}

impl Answer {
    const ALL: [Self; 5] = [Self::Granted, Self::Deadlock, Self::Parked, Self::Ended, Self::Late];

    /// The stored number; 1 is kept for who still waits.
    pub const fn code(self) -> i64 {
        match self {
            Self::Granted => 2,
            Self::Deadlock => 3,
            Self::Parked => 4,
            Self::Ended => 5,
            Self::Late => 6,
        }
    }

    /// The answer of a stored number; none while there is none.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.code() == code)
    }
}

/// The answers that are due, by the index of the waiter. `waiting` is in the order of arrival, `held` has the holders of the
/// rows that they want, `holding` the transactions among them that hold any row at all.
pub fn serve(waiting: &[Waiting], held: &HashMap<String, Holder>, holding: &HashSet<String>) -> Vec<(usize, Answer)> {
    let is_parked = |id: &String| held.get(id).is_some_and(|holder| holder.status == GlobalStatus::Parked);
    let mut held: HashMap<&str, &str> = held.iter().map(|(id, holder)| (id.as_str(), holder.xid.as_str())).collect();
    let mut answers = Vec::new();
    let mut wanted = HashMap::<&str, HashSet<&str>>::new();
    let mut left = Vec::new();
    for (at, waiter) in waiting.iter().enumerate() {
        if waiter.locks.iter().any(is_parked) {
            answers.push((at, Answer::Parked));
            continue;
        }
        let xid = waiter.xid.as_str();
        let free = waiter.locks.iter().all(|id| held.get(id.as_str()).is_none_or(|holder| *holder == xid));
        let passes = holding.contains(xid)
            || waiter
                .locks
                .iter()
                .all(|id| wanted.get(id.as_str()).is_none_or(|earlier| earlier.iter().all(|earlier| *earlier == xid)));
        if free && passes {
            held.extend(waiter.locks.iter().map(|id| (id.as_str(), xid)));
            answers.push((at, Answer::Granted));
        } else {
            for id in &waiter.locks {
                wanted.entry(id).or_default().insert(xid);
            }
            left.push(at);
        }
    }
    answers.extend(victims(waiting, left, &held).into_iter().map(|at| (at, Answer::Deadlock)));
    answers
}

/// Of each circle the waiters of the transaction that began last.
fn victims(waiting: &[Waiting], mut left: Vec<usize>, held: &HashMap<&str, &str>) -> Vec<usize> {
    let mut victims = Vec::new();
    loop {
        let mut edges = HashMap::<&str, HashSet<&str>>::new();
        for &at in &left {
            let Waiting { xid, locks, .. } = &waiting[at];
            let holders = locks.iter().filter_map(|id| held.get(id.as_str()).copied()).filter(|holder| holder != xid);
            edges.entry(xid).or_default().extend(holders);
        }
        let youngest = left
            .iter()
            .map(|&at| &waiting[at])
            .filter(|waiter| reaches(&edges, &waiter.xid, &waiter.xid))
            .max_by_key(|waiter| (waiter.began, &waiter.xid));
        let Some(Waiting { xid, .. }) = youngest else { return victims };
        left.retain(|&at| {
            let gives_way = waiting[at].xid == *xid;
            if gives_way {
                victims.push(at);
            }
            !gives_way
        });
    }
}

/// True if a chain of at least one edge leads from one to the other.
fn reaches(edges: &HashMap<&str, HashSet<&str>>, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (HashSet::new(), vec![from]);
    while let Some(one) = next.pop() {
        for &other in edges.get(one).into_iter().flatten() {
            if other == to {
                return true;
            }
            if seen.insert(other) {
                next.push(other);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
