//! What was done to the services, and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use testkit::Spoil;

#[derive(Default)]
pub struct Tally {
    /// Where services were killed.
    pub kills: BTreeMap<&'static str, u32>,
    pub at_random: u32,
    /// Where they stood still past the lease and every deadline, and went on.
    pub pauses: BTreeMap<&'static str, u32>,
    pub spoils: BTreeMap<Spoil, u32>,
    pub services: u64,
    /// What services were told of their transfers, each with its xid.
    pub done: Vec<String>,
    pub back: Vec<String>,
    pub unknown: u32,
    /// Interest that was paid, by office and number.
    pub paid: Vec<String>,
}

impl Tally {
    pub fn killed(&mut self, point: &'static str) {
        *self.kills.entry(point).or_default() += 1;
    }

    /// What a service has said.
    pub fn heard(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("done", xid)) => self.done.push(xid.to_owned()),
            Some(("back", xid)) => self.back.push(xid.to_owned()),
            Some(("unknown", _)) => self.unknown += 1,
            Some(("paid", note)) => self.paid.push(note.to_owned()),
            _ => {}
        }
    }

    /// One more round.
    pub fn add(&mut self, other: Self) {
        let sum = |all: &mut BTreeMap<_, u32>, more: BTreeMap<&'static str, u32>| {
            more.into_iter().for_each(|(at, times)| *all.entry(at).or_default() += times);
        };
        sum(&mut self.kills, other.kills);
        sum(&mut self.pauses, other.pauses);
        other.spoils.into_iter().for_each(|(how, times)| *self.spoils.entry(how).or_default() += times);
        self.at_random += other.at_random;
        self.services += other.services;
        self.done.extend(other.done);
        self.back.extend(other.back);
        self.unknown += other.unknown;
        self.paid.extend(other.paid);
    }

    pub fn print(&self) {
        println!("{:24} {:>6} {:>6}", "fail point", "killed", "paused");
        let points = self.kills.keys().chain(self.pauses.keys()).collect::<BTreeSet<_>>();
        let of = |all: &BTreeMap<&'static str, u32>, point| all.get(point).copied().unwrap_or_default();
        for point in points {
            println!("{point:24} {:>6} {:>6}", of(&self.kills, point), of(&self.pauses, point));
        }
        let kills = self.kills.values().sum::<u32>() + self.at_random;
        println!("killed at random: {}; kills in all: {kills}; services: {}", self.at_random, self.services);
        println!("wires spoilt: {:?}", self.spoils);
        println!(
            "transfers acknowledged {}, rolled back {}, unknown {}; interest paid {} times",
            self.done.len(),
            self.back.len(),
            self.unknown,
            self.paid.len()
        );
    }
}
