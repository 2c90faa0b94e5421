//! What the relay decides, without doing anything.

use std::collections::HashMap;

use super::options::{Order, RelayOptions};
use crate::{
    broker::{Health, Outcome},
    store::{Budget, Queued, Verdict},
};

/// After so many waves in a row that had no answer from a broker that says it is up, it is believed, and silence spends
/// attempts: one message that no broker ever answers must not block its lane for ever.
pub(crate) const PATIENCE: u32 = 3;

/// Splits a batch into waves that are published at once. In strict order none has a key twice: a message follows another of
/// its key only when that one was accepted.
pub(crate) fn waves(batch: &[Queued], order: Order) -> Vec<Vec<usize>> {
    if order != Order::Strict {
        return if batch.is_empty() { Vec::new() } else { vec![(0..batch.len()).collect()] };
    }
    let mut waves: Vec<Vec<usize>> = Vec::new();
    let mut depth: HashMap<&str, usize> = HashMap::new();
    for (index, queued) in batch.iter().enumerate() {
        let wave = match queued.envelope.key() {
            None => 0,
            Some(key) => {
                let next = depth.entry(key).or_default();
                *next += 1;
                *next - 1
            }
        };
        if wave == waves.len() {
            waves.push(Vec::new());
        }
        waves[wave].push(index);
    }
    waves
}

/// Whether more may wait behind what was read.
pub(crate) fn is_full(batch: &[Queued], budget: Budget) -> bool {
    let mut lanes: HashMap<u32, usize> = HashMap::new();
    let mut bytes = 0;
    for queued in batch {
        *lanes.entry(queued.lane).or_default() += 1;
        bytes += queued.envelope.payload().len();
    }
    bytes >= budget.bytes || lanes.into_values().any(|read| read >= budget.messages)
}

/// Whether not one message of a wave was answered.
pub(crate) fn is_silent(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. }))
}

/// How many waves in a row a broker that was up after each of them left without an answer. One that was away, however long,
/// may have come back since the last wave, so none of those counts.
pub(crate) fn ignored(before: u32, outcomes: &[Outcome], health: &Health) -> u32 {
    if is_silent(outcomes) && *health == Health::Up { before.saturating_add(1) } else { 0 }
}

/// How many messages of a lane are asked for at first.
pub(crate) const FIRST: usize = 32;

/// How many messages of each lane to ask for after a read: less where they are large, since what is behind the bytes of a
/// budget comes over the wire all the same; soon as many as there may be where they are not.
pub(crate) fn next_limit(read: &[Queued], asked: Budget, lanes: usize, most: usize) -> usize {
    let bytes: usize = read.iter().map(|queued| queued.envelope.payload().len()).sum();
    if bytes >= asked.bytes {
        return (read.len() / lanes.max(1)).max(1);
    }
    // One that fills half of its budget may have all it can take next.
    if bytes < asked.bytes / 2 { asked.messages.saturating_mul(2).min(most) } else { asked.messages }
}

/// Whether the broker as a whole is silent, rather than refusing single messages.
pub(crate) fn is_outage(outcomes: &[Outcome], health: &Health, ignored: u32) -> bool {
    is_silent(outcomes) && (*health != Health::Up || ignored < PATIENCE)
}

/// What is to become of a message; `None`: it stays as it is, and nothing is spent.
pub(crate) fn verdict(
    outcome: &Outcome,
    outage: bool,
    spent: u32,
    options: &RelayOptions,
    random: impl FnOnce() -> f64,
) -> Option<Verdict> {
    let (error, permanent) = match outcome {
        Outcome::Accepted => return Some(Verdict::Sent),
        Outcome::Unknown { .. } if outage => return None,
        Outcome::Unroutable => ("no queue takes the topic".to_owned(), false),
        Outcome::Rejected { reason, permanent } => (format!("rejected: {reason}"), *permanent),
        Outcome::Unknown { reason } => (format!("no answer: {reason}"), false),
    };
    let attempt = spent.saturating_add(1);
    if permanent || attempt >= options.retry.attempts {
        return Some(Verdict::Dead { error });
    }
    Some(Verdict::Retry { after: options.retry.delay(attempt, random()), error, blocks: options.order.is_kept() })
}

/// Fills up what a broker left out: an outcome that is missing is unknown.
pub(crate) fn complete(mut outcomes: Vec<Outcome>, expected: usize) -> Vec<Outcome> {
    outcomes.truncate(expected);
    outcomes.resize_with(expected, || Outcome::Unknown { reason: "the broker gave no outcome".to_owned() });
    outcomes
}

#[cfg(test)]
mod tests;
