//! The rules, and what breaks them. It knows what was found, and nothing of how it came about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::place::{NOWHERE, TOPIC};

/// What the auditor found.
#[derive(Default)]
pub struct Evidence {
    /// What the service has committed, by the id of its message.
    pub orders: BTreeMap<String, Order>,
    /// Ids and texts as they came to the broker, repeats included.
    pub arrivals: Vec<(String, String)>,
    /// Ids of messages that were never tried.
    pub hot: BTreeSet<String>,
    /// Messages that wait for a retry, and why.
    pub delayed: BTreeMap<String, Option<String>>,
    pub dead: BTreeMap<String, Option<String>>,
    /// Ids, outcomes and reasons of the log.
    pub history: Vec<(String, String, Option<String>)>,
    /// Ids of messages that had an effect, once for each.
    pub effects: Vec<String>,
}

pub struct Order {
    pub topic: String,
    pub key: String,
    /// The running number within the key, given under a row lock: the order of the enqueues.
    pub n: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// What was committed is in the broker, or waits, or is among the dead; in the end nothing waits.
    Kept,
    /// What was rolled back is nowhere, and what was committed comes as it was.
    Committed,
    /// First arrivals of a key are in the order of its enqueues.
    Ordered,
    /// There are no more repeats than the faults allow.
    FewRepeats,
    /// An effect for each message, once.
    OneEffect,
    /// What the log calls sent is in the broker.
    SentIsThere,
    /// Whatever failed says why.
    Reasons,
}

#[derive(PartialEq, Eq, Debug)]
pub struct Finding {
    pub rule: Rule,
    text: String,
}

impl Evidence {
    /// How many arrivals were repeats.
    pub fn repeats(&self) -> usize {
        self.arrivals.len() - self.arrived().len()
    }

    /// How many attempts failed at messages that arrived later.
    pub fn retries(&self) -> usize {
        let arrived = self.arrived();
        self.history.iter().filter(|(id, status, _)| status == "failed" && arrived.contains(id.as_str())).count()
    }

    fn arrived(&self) -> BTreeSet<&str> {
        self.arrivals.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// All that breaks a rule, if the faults explain so many repeats.
    pub fn findings(&self, allowed: usize) -> Vec<Finding> {
        let mut wrong = Vec::new();
        let arrived = self.arrived();
        let mut find = |rule, text| wrong.push(Finding { rule, text });
        for (id, order) in &self.orders {
            let (is_routed, is_dead) = (order.topic != NOWHERE, self.dead.contains_key(id));
            if is_routed != arrived.contains(id.as_str()) || is_routed == is_dead {
                find(Rule::Kept, format!("{order} {id} for {} {}", order.topic, self.whereabouts(id)));
            }
        }
        for id in self.hot.iter().chain(self.delayed.keys()) {
            find(Rule::Kept, format!("{id} {} in the end", self.whereabouts(id)));
        }
        for (id, text) in &self.arrivals {
            match self.orders.get(id) {
                None => find(Rule::Committed, format!("{text} {id} arrived and was never committed")),
                Some(order) if order.to_string() != *text => {
                    find(Rule::Committed, format!("{order} {id} arrived as {text}"));
                }
                Some(_) => {}
            }
        }
        let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
        for (id, _) in &self.arrivals {
            let Some(order) = self.orders.get(id).filter(|_| seen.insert(id)) else { continue };
            let before = last.insert(&order.key, order.n).unwrap_or(0);
            if before >= order.n {
                find(Rule::Ordered, format!("{order} {id} arrived behind number {before}"));
            }
        }
        if self.repeats() > allowed {
            find(Rule::FewRepeats, format!("{} repeats, of which faults explain {allowed}", self.repeats()));
        }
        let mut effects = BTreeMap::<&str, u32>::new();
        self.effects.iter().for_each(|id| *effects.entry(id).or_default() += 1);
        for (id, order) in self.orders.iter().filter(|(_, order)| order.topic == TOPIC) {
            match effects.remove(id.as_str()) {
                Some(1) => {}
                times => find(Rule::OneEffect, format!("{order} {id} took effect {} times", times.unwrap_or(0))),
            }
        }
        effects.keys().for_each(|id| find(Rule::OneEffect, format!("{id} took effect and is no order")));
        for (id, status, reason) in &self.history {
            if status == "sent" && !arrived.contains(id.as_str()) {
                find(Rule::SentIsThere, format!("{id} is called sent and {}", self.whereabouts(id)));
            }
            if status != "sent" && is_blank(reason) {
                find(Rule::Reasons, format!("{id} is logged as {status} without a reason"));
            }
        }
        for (id, reason) in self.delayed.iter().chain(&self.dead) {
            if is_blank(reason) {
                find(Rule::Reasons, format!("{id} {} without a reason", self.whereabouts(id)));
            }
        }
        wrong
    }

    fn whereabouts(&self, id: &str) -> String {
        let places = [
            ("is in the broker", self.arrivals.iter().any(|(arrived, _)| arrived == id)),
            ("waits for its first try", self.hot.contains(id)),
            ("waits for a retry", self.delayed.contains_key(id)),
            ("is among the dead", self.dead.contains_key(id)),
        ];
        let places: Vec<_> = places.into_iter().filter_map(|(place, is_there)| is_there.then_some(place)).collect();
        if places.is_empty() { "is nowhere".to_owned() } else { places.join(" and ") }
    }
}

fn is_blank(reason: &Option<String>) -> bool {
    reason.as_ref().is_none_or(|reason| reason.trim().is_empty())
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.n)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}
