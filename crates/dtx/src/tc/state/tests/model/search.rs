//! The search: every world that can be reached, each once, the nearest first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem::discriminant;

use super::events::{Course, Event, Steps};
use super::invariants::{Look, broken, is_at_rest, is_ended, step_broken};
use super::rules::Rules;
use super::world::{Shape, World};

/// What a search without a finding saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    states: usize,
    steps: usize,
    /// Kinds of events that happened.
    pub(super) kinds: usize,
    /// Worlds in which the transaction is over, or was never begun, and nobody has anything to do.
    pub(super) ends: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, {} steps, {} ends", self.states, self.steps, self.ends)
    }
}

/// A way to a world that must not be; no shorter one leads to any.
pub(super) struct Finding {
    pub(super) problem: &'static str,
    events: Vec<Event>,
    world: World,
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.problem)?;
        self.events.iter().enumerate().try_for_each(|(at, event)| writeln!(f, "{:3}. {event:?}", at + 1))?;
        write!(f, "{:?}", self.world)
    }
}

/// Mixes the few bytes of a world; the default hash would take most of the time.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_isize(&mut self, word: isize) {
        self.write_usize(word.cast_unsigned());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[derive(Default)]
struct Seen {
    worlds: Vec<World>,
    numbers: HashMap<World, usize, BuildHasherDefault<Mix>>,
    /// From where each was first reached, and how.
    ways: Vec<Option<(usize, Event)>>,
    /// Steps that have to happen at last, backwards.
    fair: Vec<(usize, usize)>,
    person: Vec<(usize, usize)>,
}

impl Seen {
    fn number(&mut self, world: World, way: Option<(usize, Event)>) -> (usize, bool) {
        let next = self.worlds.len();
        match self.numbers.entry(world) {
            Entry::Occupied(known) => (*known.get(), false),
            Entry::Vacant(place) => {
                place.insert(next);
                self.worlds.push(world);
                self.ways.push(way);
                (next, true)
            }
        }
    }

    fn finding(&self, problem: &'static str, number: usize) -> Box<Finding> {
        let (mut events, mut at) = (Vec::new(), number);
        while let Some((from, event)) = self.ways[at] {
            events.push(event);
            at = from;
        }
        events.reverse();
        Box::new(Finding { problem, events, world: self.worlds[number] })
    }

    /// The first world from which no fair course leads to a world like that.
    fn stuck(&self, end: fn(&World) -> bool, courses: &[&[(usize, usize)]]) -> Option<usize> {
        let mut before = vec![Vec::new(); self.worlds.len()];
        courses.iter().flat_map(|steps| steps.iter()).for_each(|&(from, to)| before[to].push(from));
        let mut leads: Vec<_> = self.worlds.iter().map(end).collect();
        let mut open: Vec<_> = (0..leads.len()).filter(|&at| leads[at]).collect();
        while let Some(at) = open.pop() {
            for &from in &before[at] {
                if !std::mem::replace(&mut leads[from], true) {
                    open.push(from);
                }
            }
        }
        leads.iter().position(|leads| !leads)
    }
}

/// Looks through all worlds of a shape, up to the first that must not be.
pub(super) fn search(shape: &Shape, rules: Rules, look: Look) -> Result<Size, Box<Finding>> {
    let mut seen = Seen::default();
    seen.number(World::START, None);
    let mut steps = Steps { world: World::START, rules, shape, found: Vec::new() };
    let (mut number, mut taken, mut kinds) = (0, 0, HashSet::new());
    while let Some(&world) = seen.worlds.get(number) {
        steps.collect(world);
        for &(event, course, next) in &steps.found {
            taken += 1;
            kinds.insert(discriminant(&event));
            let (to, new) = seen.number(next, Some((number, event)));
            if look == Look::All
                && let Some(problem) = step_broken(&world, event, &next, shape)
            {
                let mut finding = seen.finding(problem, number);
                finding.events.push(event);
                finding.world = next;
                return Err(finding);
            }
            if new && let Some(problem) = broken(&next, shape, look) {
                return Err(seen.finding(problem, to));
            }
            match course {
                Course::Fair => seen.fair.push((number, to)),
                Course::Person => seen.person.push((number, to)),
                Course::Free => {}
            }
        }
        number += 1;
    }
    if let Some(stuck) = seen.stuck(is_at_rest, &[&seen.fair]) {
        return Err(seen.finding("it never comes to rest", stuck));
    }
    if let Some(stuck) = seen.stuck(is_ended, &[&seen.fair, &seen.person]) {
        return Err(seen.finding("it never ends, whatever a person does", stuck));
    }
    let ends = seen.worlds.iter().filter(|world| is_ended(world)).count();
    Ok(Size { states: seen.worlds.len(), steps: taken, kinds: kinds.len(), ends })
}
