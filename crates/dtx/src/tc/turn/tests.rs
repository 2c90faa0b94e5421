use std::collections::BTreeMap;

use testkit::Rng;

use super::*;

fn waiting(waiter: &str, xid: &str, began: i64, locks: &[&str]) -> Waiting {
    let locks = locks.iter().map(|&id| id.to_owned()).collect();
    Waiting { waiter: waiter.to_owned(), xid: xid.to_owned(), began, locks }
}

fn held(locks: &[(&str, &str)]) -> HashMap<String, Holder> {
    let holder = |xid: &str| Holder { xid: xid.to_owned(), status: GlobalStatus::Active };
    locks.iter().map(|&(id, xid)| (id.to_owned(), holder(xid))).collect()
}

/// The answers by the names of the waiters; who holds a row of `locks` holds rows.
fn served(waiting: &[Waiting], locks: &[(&str, &str)]) -> BTreeMap<String, Answer> {
    let holding = locks.iter().map(|&(_, xid)| xid.to_owned()).collect();
    let answers = serve(waiting, &held(locks), &holding);
    answers.into_iter().map(|(at, answer)| (waiting[at].waiter.clone(), answer)).collect()
}

fn told(answers: &[(&str, Answer)]) -> BTreeMap<String, Answer> {
    answers.iter().map(|&(waiter, answer)| (waiter.to_owned(), answer)).collect()
}

#[test]
fn answers_read_back() {
    for answer in Answer::ALL {
        assert_eq!(Answer::from_code(answer.code()), Some(answer));
    }
    assert_eq!(Answer::from_code(1), None);
}

#[test]
fn the_first_comes_first_and_gets_all_or_nothing() {
    let queue = [waiting("1", "x", 1, &["a", "b"]), waiting("2", "y", 2, &["a"]), waiting("3", "z", 3, &["c"])];
    assert_eq!(served(&queue, &[]), told(&[("1", Answer::Granted), ("3", Answer::Granted)]));
    let blocked = served(&queue, &[("b", "h")]);
    assert_eq!(blocked, told(&[("3", Answer::Granted)]), "y stays behind x although its row is free");
}

#[test]
fn who_holds_rows_passes_who_waits_for_something_else() {
    let queue = [waiting("1", "x", 1, &["a", "b"]), waiting("2", "h", 2, &["a"])];
    assert_eq!(served(&queue, &[("b", "h")]), told(&[("2", Answer::Granted)]));
    assert_eq!(served(&queue, &[("b", "k"), ("c", "h")]), told(&[("2", Answer::Granted)]));
}

#[test]
fn a_row_of_its_own_is_free() {
    let queue = [waiting("1", "x", 1, &["a", "b"])];
    assert_eq!(served(&queue, &[("a", "x")]), told(&[("1", Answer::Granted)]));
    let queue = [waiting("1", "x", 1, &["a", "b"]), waiting("2", "x", 1, &["a"])];
    assert_eq!(served(&queue, &[("b", "h")]), told(&[("2", Answer::Granted)]), "not behind itself");
}

#[test]
fn a_circle_ends_with_the_transaction_that_began_last() {
    for (x, y) in [(1, 2), (2, 1)] {
        let queue = [waiting("1", "x", x, &["b"]), waiting("2", "y", y, &["a"])];
        let victim = if x > y { "1" } else { "2" };
        assert_eq!(served(&queue, &[("a", "x"), ("b", "y")]), told(&[(victim, Answer::Deadlock)]));
    }
    let same = [waiting("1", "x", 1, &["b"]), waiting("2", "y", 1, &["a"])];
    assert_eq!(served(&same, &[("a", "x"), ("b", "y")]), told(&[("2", Answer::Deadlock)]), "then by name");
}

#[test]
fn a_long_circle_is_found_and_who_only_hangs_on_it_is_spared() {
    let queue = [
        waiting("1", "x", 1, &["b"]),
        waiting("2", "y", 2, &["c"]),
        waiting("3", "z", 3, &["a"]),
        waiting("4", "late", 9, &["a"]),
    ];
    let locks = [("a", "x"), ("b", "y"), ("c", "z"), ("d", "late")];
    assert_eq!(served(&queue, &locks), told(&[("3", Answer::Deadlock)]));
}

#[test]
fn every_circle_loses_one() {
    let queue = [
        waiting("1", "x", 1, &["b"]),
        waiting("2", "y", 2, &["a"]),
        waiting("3", "v", 3, &["w"]),
        waiting("4", "w", 4, &["v"]),
    ];
    let locks = [("a", "x"), ("b", "y"), ("v", "v"), ("w", "w")];
    assert_eq!(served(&queue, &locks), told(&[("2", Answer::Deadlock), ("4", Answer::Deadlock)]));
}

#[test]
fn nobody_waits_for_a_person() {
    let mut locks = held(&[("a", "p"), ("b", "h")]);
    locks.insert("a".to_owned(), Holder { xid: "p".to_owned(), status: GlobalStatus::Parked });
    let queue = [waiting("1", "x", 1, &["a", "b"]), waiting("2", "y", 2, &["b"])];
    assert_eq!(serve(&queue, &locks, &HashSet::new()), [(0, Answer::Parked)]);
}

/// Transactions take and want rows at random and end at random; nobody is forgotten.
#[test]
fn whatever_happens_rows_have_one_owner_and_everybody_is_answered() {
    let mut seeds = Rng::new(testkit::seed());
    for _ in 0..500 * testkit::scale() {
        let mut rng = seeds.fork();
        let (mut locks, mut queue) = (HashMap::<String, String>::new(), Vec::<Waiting>::new());
        let (mut granted, mut victims, mut number) = (0, 0, 0);
        for round in 0..60 {
            let open: HashSet<_> = locks.values().cloned().collect();
            // A newcomer, or somebody who holds rows and does not wait.
            let idle = open.iter().find(|xid| queue.iter().all(|waiter| waiter.xid != **xid)).cloned();
            number += 1;
            let xid = idle.filter(|_| rng.chance(0.5)).unwrap_or_else(|| format!("x{number:03}"));
            let wanted: HashSet<_> = (0..=rng.below(2)).map(|_| format!("r{}", rng.below(4))).collect();
            if round < 40 {
                let began = xid[1..].parse().unwrap();
                queue.push(Waiting { waiter: format!("w{number}"), xid, began, locks: wanted.into_iter().collect() });
            }
            // Somebody who does not wait ends.
            let done = open.iter().filter(|xid| queue.iter().all(|waiter| waiter.xid != **xid)).max().cloned();
            if let Some(done) = done.filter(|_| round >= 40 || rng.chance(0.4)) {
                locks.retain(|_, xid| *xid != done);
            }
            let holders = locks.iter().map(|(id, xid)| (id.as_str(), xid.as_str())).collect::<Vec<_>>();
            let holding = locks.values().cloned().collect();
            let answers = serve(&queue, &held(&holders), &holding);
            let mut gone = HashSet::new();
            for (at, answer) in answers {
                let waiter = &queue[at];
                gone.insert(waiter.waiter.clone());
                match answer {
                    Answer::Granted => {
                        granted += 1;
                        for id in &waiter.locks {
                            let before = locks.insert(id.clone(), waiter.xid.clone());
                            assert!(before.is_none_or(|before| before == waiter.xid), "{id} has two owners");
                        }
                    }
                    Answer::Deadlock => {
                        victims += 1;
                        assert!(holding.contains(&waiter.xid), "only who holds rows can be part of a circle");
                        locks.retain(|_, xid| *xid != waiter.xid);
                        gone.extend(queue.iter().filter(|one| one.xid == waiter.xid).map(|one| one.waiter.clone()));
                    }
                    Answer::Parked | Answer::Ended | Answer::Late => panic!("{answer:?}"),
                }
            }
            queue.retain(|waiter| !gone.contains(&waiter.waiter));
        }
        // No more comes: the queue must run dry.
        for _ in 0..200 {
            let waits: HashSet<_> = queue.iter().map(|waiter| waiter.xid.clone()).collect();
            locks.retain(|_, xid| waits.contains(xid));
            let holders = locks.iter().map(|(id, xid)| (id.as_str(), xid.as_str())).collect::<Vec<_>>();
            let holding = locks.values().cloned().collect();
            let answers = serve(&queue, &held(&holders), &holding);
            if queue.is_empty() {
                break;
            }
            assert!(!answers.is_empty(), "nobody is served and nobody ends: {queue:?} {locks:?}");
            let mut gone = HashSet::new();
            for (at, answer) in answers {
                let waiter = queue[at].clone();
                if answer == Answer::Granted {
                    locks.extend(waiter.locks.iter().map(|id| (id.clone(), waiter.xid.clone())));
                } else {
                    locks.retain(|_, xid| *xid != waiter.xid);
                }
                gone.insert(waiter.waiter);
            }
            queue.retain(|waiter| !gone.contains(&waiter.waiter));
        }
        assert!(queue.is_empty(), "{queue:?}");
        assert!(granted > 0 || victims > 0);
    }
}
