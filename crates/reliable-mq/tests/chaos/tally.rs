//! What was done to the processes, and what they said.

use std::collections::BTreeMap;

use testkit::Spoil;

use crate::{child::BATCH, place::Role};

/// A relay may lose what it has under way in each of its lanes, and each lane has one relay.
const LANES: usize = 8;

#[derive(Default)]
pub struct Tally {
    /// Where processes were killed.
    pub kills: BTreeMap<&'static str, usize>,
    pub at_random: BTreeMap<Role, usize>,
    /// Where relays stood still past their lease, and went on.
    pub pauses: BTreeMap<&'static str, usize>,
    pub spoils: BTreeMap<(&'static str, Spoil), usize>,
    /// How often the broker was killed and started.
    pub restarts: usize,
    /// How often the database was.
    pub crashes: usize,
    /// How often the broker held publishers back.
    pub alarms: usize,
    /// How often the clock of the database was set, and where to.
    pub jumps: BTreeMap<&'static str, usize>,
    pub held: usize,
    /// How often a topic was without a queue.
    pub deafened: usize,
    pub processes: u64,
    /// Ids of orders that producers were told of.
    pub told: Vec<String>,
    pub orders: usize,
    pub repeats: usize,
    pub allowed: usize,
    pub dead: usize,
    /// Attempts that failed at messages that arrived later.
    pub retries: usize,
}

impl Tally {
    /// How many repeats the faults explain: for each that a relay felt, all that was under way. A lease can also be lost
    /// because the machine was busy.
    pub fn explained(&self) -> usize {
        let kills: usize = self.kills.iter().filter(|(point, _)| RELAY.contains(point)).map(|(_, times)| times).sum();
        let at_random = self.at_random.get(&Role::Relay).copied().unwrap_or_default();
        let rest: usize = self.pauses.values().chain(self.spoils.values()).sum();
        let of_servers = self.restarts + self.crashes + self.alarms + self.jumps.values().sum::<usize>();
        (kills + at_random + rest + of_servers) * BATCH * LANES
    }

    /// One more round.
    pub fn add(&mut self, other: Self) {
        add(&mut self.kills, other.kills);
        add(&mut self.at_random, other.at_random);
        add(&mut self.pauses, other.pauses);
        add(&mut self.spoils, other.spoils);
        self.restarts += other.restarts;
        self.crashes += other.crashes;
        self.alarms += other.alarms;
        add(&mut self.jumps, other.jumps);
        self.held += other.held;
        self.deafened += other.deafened;
        self.processes += other.processes;
        self.told.extend(other.told);
        self.orders += other.orders;
        self.repeats += other.repeats;
        self.allowed += other.allowed;
        self.dead += other.dead;
        self.retries += other.retries;
    }

    pub fn print(&self) {
        println!("{:24} {:>6} {:>6}", "fail point", "killed", "paused");
        for point in POINTS {
            let of = |all: &BTreeMap<&'static str, usize>| all.get(point).copied().unwrap_or_default();
            println!("{point:24} {:>6} {:>6}", of(&self.kills), of(&self.pauses));
        }
        println!("killed at random: {:?}; paused anywhere: {:?}", self.at_random, self.pauses.get(ANYWHERE));
        println!("wires spoilt: {:?}", self.spoils);
        println!(
            "broker restarted {}, short of memory {}, database restarted {}, its clock set: {:?}",
            self.restarts, self.alarms, self.crashes, self.jumps
        );
        println!(
            "transactions held open {}, topics without a queue {}, processes {}",
            self.held, self.deafened, self.processes
        );
        println!(
            "orders {}, acknowledged {}, dead {}, retries that helped {}, repeats {} of at most {}",
            self.orders,
            self.told.len(),
            self.dead,
            self.retries,
            self.repeats,
            self.allowed
        );
    }
}

fn add<K: Ord>(all: &mut BTreeMap<K, usize>, more: BTreeMap<K, usize>) {
    more.into_iter().for_each(|(at, times)| *all.entry(at).or_default() += times);
}

/// The fail points, in the order of a message's life.
pub const POINTS: [&str; 7] =
    ["test.enqueued", "mq.fetched", "mq.wave", "mq.published", "mq.settled", "test.handled", "mq.consumer_before_ack"];
/// Those of a relay.
pub const RELAY: [&str; 4] = ["mq.fetched", "mq.wave", "mq.published", "mq.settled"];
pub const ANYWHERE: &str = "anywhere";
