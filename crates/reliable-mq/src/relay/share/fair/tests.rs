use std::time::Duration;

use testkit::Rng;

use super::*;

/// Who has which lane, and who lives: what a store holds.
struct World {
    lanes: Vec<Option<String>>,
    living: BTreeSet<String>,
    moves: usize,
}

impl World {
    fn new(lanes: usize) -> Self {
        Self { lanes: vec![None; lanes], living: BTreeSet::new(), moves: 0 }
    }

    fn relays(&self) -> Vec<RelayInfo> {
        let info = |owner: &String| RelayInfo {
            owner: owner.clone(),
            lanes: self.lanes_of(owner),
            alive: Duration::from_secs(1),
        };
        self.living.iter().map(info).collect()
    }

    fn lanes_of(&self, owner: &str) -> Vec<u32> {
        let has = |lane: &u32| self.lanes[*lane as usize].as_deref() == Some(owner);
        (0..u32::try_from(self.lanes.len()).unwrap()).filter(has).collect()
    }

    fn look(&self, me: &str) -> Fair {
        let mine = self.lanes_of(me).into_iter().collect();
        fair(&self.relays(), me, &mine, u32::try_from(self.lanes.len()).unwrap())
    }

    /// What a relay does about what it saw, which may be no longer so.
    fn act(&mut self, me: &str, seen: &Fair) {
        if !self.living.contains(me) {
            return;
        }
        let own = self.lanes_of(me);
        for lane in own.iter().skip(seen.quota) {
            self.lanes[*lane as usize] = None;
        }
        for lane in &seen.free {
            let lane = &mut self.lanes[*lane as usize];
            if lane.is_none() {
                *lane = Some(me.to_owned());
                self.moves += 1;
            }
        }
    }

    fn turn(&mut self) {
        for me in self.living.clone() {
            let seen = self.look(&me);
            self.act(&me, &seen);
        }
    }

    fn join(&mut self, name: &str) {
        self.living.insert(name.to_owned());
    }

    /// At its end, or when its leases end.
    fn part(&mut self, name: &str) {
        self.living.remove(name);
        self.lanes.iter_mut().filter(|owner| owner.as_deref() == Some(name)).for_each(|owner| *owner = None);
    }

    fn shares(&self) -> Vec<usize> {
        let mut shares: Vec<usize> = self.living.iter().map(|owner| self.lanes_of(owner).len()).collect();
        shares.sort_by_key(|lanes| Reverse(*lanes));
        shares
    }

    fn is_fair(&self) -> bool {
        let (lanes, relays) = (self.lanes.len(), self.living.len());
        let part = |n: usize| lanes / relays + usize::from(n < lanes % relays);
        self.shares() == (0..relays).map(part).collect::<Vec<_>>()
    }
}

#[test]
fn whoever_comes_and_goes_the_shares_are_fair_and_only_what_has_to_moves() {
    let mut world = World::new(8);
    // Lanes that change hands each time: what the newcomer gets, or what the one that went had.
    for (came, shares, moves) in
        [("b", vec![8], 8), ("a", vec![4, 4], 4), ("c", vec![3, 3, 2], 2), ("d", vec![2; 4], 2)]
    {
        world.moves = 0;
        world.join(came);
        (0..3).for_each(|_| world.turn());
        assert_eq!((world.shares(), world.moves), (shares, moves), "{came} came");
    }
    for (went, shares, moves) in [("b", vec![3, 3, 2], 2), ("d", vec![4, 4], 3), ("a", vec![8], 4)] {
        let had = world.lanes_of(went).len();
        world.moves = 0;
        world.part(went);
        (0..3).for_each(|_| world.turn());
        assert_eq!(world.shares(), shares, "{went} went");
        assert!(world.moves == had && had <= moves, "{went} had {had}, {} moved", world.moves);
    }
}

#[test]
fn nothing_moves_once_the_shares_are_fair_whoever_has_more() {
    // The one that comes first by name has fewer; so be it.
    let mut world = World::new(5);
    for name in ["a", "b", "c"] {
        world.join(name);
    }
    world.lanes = ["c", "c", "b", "b", "a"].map(|owner| Some(owner.to_owned())).to_vec();
    (0..5).for_each(|_| world.turn());
    assert_eq!((world.moves, world.lanes_of("a").len()), (0, 1));
}

#[test]
fn who_has_one_more_than_the_least_gives_it_if_another_has_too_few() {
    let mut world = World::new(9);
    for name in ["a", "b", "c"] {
        world.join(name);
    }
    world.turn();
    world.join("d");
    (0..3).for_each(|_| world.turn());
    assert_eq!(world.shares(), [3, 2, 2, 2]);
}

#[test]
fn of_more_relays_than_lanes_some_have_none_and_stand_by() {
    let mut world = World::new(1);
    world.join("z");
    world.turn();
    world.join("a");
    (0..5).for_each(|_| world.turn());
    assert_eq!((world.lanes_of("z").len(), world.moves), (1, 1));
    world.part("z");
    world.turn();
    assert_eq!(world.lanes_of("a").len(), 1);
}

#[test]
fn what_nobody_has_any_more_goes_to_those_that_had_it() {
    let none = |owner: &str| RelayInfo { owner: owner.to_owned(), lanes: Vec::new(), alive: Duration::ZERO };
    let relays = [none("a"), none("b")];
    let (a, b) = (BTreeSet::from([4, 5, 6, 7]), BTreeSet::from([0, 1, 2, 3]));
    let parts = [fair(&relays, "a", &a, 8), fair(&relays, "b", &b, 8)];
    assert_eq!((&parts[0].own, &parts[1].own), (&a, &b));
    assert!(parts.iter().all(|part| part.quota == 4 && part.free.is_empty()), "{parts:?}");
}

#[test]
fn relays_that_look_at_the_same_moment_want_lanes_of_their_own() {
    let mut world = World::new(8);
    for name in ["a", "b", "c"] {
        world.join(name);
    }
    let mut wanted: Vec<u32> = ["a", "b", "c"].iter().flat_map(|name| world.look(name).free).collect();
    wanted.sort_unstable();
    assert_eq!(wanted, (0..8).collect::<Vec<_>>());
}

#[test]
fn relays_that_see_different_moments_come_to_fair_shares_all_the_same() {
    for (seed, lanes) in (0..200).zip([1, 4, 8, 9].into_iter().cycle()) {
        let mut rng = Rng::new(seed);
        let mut world = World::new(lanes);
        let mut seen: Vec<(String, Fair)> = Vec::new();
        for n in 0..60 {
            match rng.below(10) {
                0 => world.join(&format!("{}{n}", rng.below(10))),
                1 if world.living.len() > 1 => {
                    let at = usize::try_from(rng.below(world.living.len() as u64)).unwrap();
                    let went = world.living.iter().nth(at).unwrap().clone();
                    world.part(&went);
                }
                2..6 => {
                    for me in world.living.clone() {
                        seen.push((me.clone(), world.look(&me)));
                    }
                }
                _ => {
                    let acts = rng.below(4).min(seen.len() as u64);
                    for _ in 0..acts {
                        let (me, fair) = seen.remove(0);
                        world.act(&me, &fair);
                    }
                }
            }
        }
        world.join("last");
        (0..6).for_each(|_| world.turn());
        assert!(world.is_fair(), "seed {seed}: {:?} have {:?}", world.living, world.lanes);
        world.moves = 0;
        (0..6).for_each(|_| world.turn());
        assert_eq!(world.moves, 0, "seed {seed}");
    }
}
