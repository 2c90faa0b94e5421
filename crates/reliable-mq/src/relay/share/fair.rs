//! What is fair, worked out without asking anybody.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::store::RelayInfo;

/// A relay's fair part.
#[derive(Debug)]
pub(super) struct Fair {
    /// What it has, those of its own that nobody has included: it may take them again.
    pub(super) own: BTreeSet<u32>,
    /// How many it is to have.
    pub(super) quota: usize,
    /// What it may take to come to that.
    pub(super) free: Vec<u32>,
}

/// As many lanes for each relay, and one more for those that have most already: so nothing moves once all have their parts,
/// and as little as possible until then. Whoever sees the same comes to the same, and no two take one lane.
pub(super) fn fair(relays: &[RelayInfo], me: &str, mine: &BTreeSet<u32>, lanes: u32) -> Fair {
    let lanes_of = |relay: &RelayInfo| relay.lanes.iter().copied().collect::<BTreeSet<u32>>();
    let others = || relays.iter().filter(|relay| relay.owner != me);
    let taken: BTreeSet<u32> = others().flat_map(|relay| relay.lanes.iter().copied()).collect();
    let mut own: BTreeSet<u32> = relays.iter().filter(|relay| relay.owner == me).flat_map(lanes_of).collect();
    own.extend(mine.difference(&taken));
    let mut held: BTreeMap<&str, usize> = others().map(|relay| (relay.owner.as_str(), relay.lanes.len())).collect();
    held.insert(me, own.len());
    // Those that have as many stand by their names.
    let mut order: Vec<(&str, usize)> = held.into_iter().collect();
    order.sort_by_key(|(_, held)| Reverse(*held));
    let (each, over) = (lanes as usize / order.len(), lanes as usize % order.len());
    let quota_of = |rank: usize| each + usize::from(rank < over);
    let rank = order.iter().position(|(name, _)| *name == me).unwrap_or(0);
    let before = order[..rank].iter().enumerate().map(|(rank, (_, held))| quota_of(rank).saturating_sub(*held)).sum();
    let (quota, free) = (quota_of(rank), (0..lanes).filter(|lane| !taken.contains(lane) && !own.contains(lane)));
    let free = free.skip(before).take(quota.saturating_sub(own.len())).collect();
    Fair { own, quota, free }
}

#[cfg(test)]
mod tests;
