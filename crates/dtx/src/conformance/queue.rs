use std::sync::Arc;
use std::time::Duration;

use super::cases::{MINUTE, ROLLBACK, Store, begin, decide, held, lock, register, set, settle};
use crate::tc::state::{BranchStatus, Decision, GlobalStatus};
use crate::tc::store::{NewWaiter, Registration};
use crate::tc::turn::Answer;

/// Queues a waiter named after its transaction, of the coordinator `owner`.
async fn wait(store: &Store, owner: &str, xid: &str, keys: &[&str]) -> Vec<(String, Answer)> {
    let locks = keys.iter().map(|key| lock(key)).collect();
    let (waiter, owner, patience) = (format!("w-{xid}"), owner.to_owned(), MINUTE);
    store.enqueue(&NewWaiter { waiter, xid: xid.to_owned(), owner, locks, patience }).await.unwrap()
}

fn told(answers: &[(&str, Answer)]) -> Vec<(String, Answer)> {
    answers.iter().map(|&(xid, answer)| (format!("w-{xid}"), answer)).collect()
}

/// Commits and answers whether somebody waits for what that freed.
async fn end(store: &Store, xid: &str) -> bool {
    store.decide(xid, Decision::Commit, Duration::ZERO).await.unwrap().unwrap().wanted
}

async fn waiting(store: &Store) -> Vec<String> {
    store.waiters().await.unwrap().into_iter().map(|waiter| waiter.xid).collect()
}

pub async fn what_is_held_is_told_from_what_is_free(store: Store) {
    for xid in ["x", "y"] {
        begin(&store, xid).await;
    }
    let holds = async |xid: &str, keys: &[&str]| {
        store.holds(xid, &keys.iter().map(|key| lock(key)).collect::<Vec<_>>()).await.unwrap()
    };
    assert!(!holds("x", &["a"]).await, "it is free");
    register(&store, "x", 1, &["a"]).await;
    wait(&store, "o", "x", &["b"]).await;
    assert!(holds("x", &["a", "b"]).await, "of a branch, and by a wait");
    assert!(!holds("x", &["a", "b", "c"]).await && !holds("y", &["a"]).await && !holds("nobody", &["a"]).await);
    decide(&store, "x", ROLLBACK).await;
    assert!(!holds("x", &["a"]).await, "it is no longer open");
}

pub async fn rows_go_to_who_waits_longest(store: Store) {
    for xid in ["x", "y", "z", "n"] {
        begin(&store, xid).await;
    }
    register(&store, "x", 1, &["a", "b"]).await;
    assert_eq!(wait(&store, "o", "z", &["b", "a"]).await, told(&[]));
    assert_eq!(wait(&store, "o", "y", &["a"]).await, told(&[]));
    let listed = store.waiters().await.unwrap();
    assert_eq!(waiting(&store).await, ["z", "y"]);
    let wants: Vec<_> = listed[0].wants.iter().map(|(lock, holder)| (lock.key.as_str(), holder.as_deref())).collect();
    assert!(wants.contains(&("a", Some("x"))) && wants.contains(&("b", Some("x"))) && wants.len() == 2);
    assert!(end(&store, "x").await, "somebody waits for it");
    let Registration::Conflict(conflict) = register(&store, "n", 1, &["a"]).await else {
        panic!("a newcomer was faster than who waits")
    };
    assert_eq!((conflict.holder.as_str(), conflict.lock), ("z", lock("a")));
    assert_eq!(store.serve("o").await.unwrap(), told(&[("z", Answer::Granted)]));
    assert_eq!(held(&store).await, set(&[("z", "a", false), ("z", "b", false)]));
    assert_eq!(waiting(&store).await, ["y"]);
    assert_eq!(register(&store, "z", 1, &["a", "b"]).await, Registration::Registered);
    assert!(end(&store, "z").await);
    assert_eq!(store.serve("o").await.unwrap(), told(&[("y", Answer::Granted)]));
    assert!(!end(&store, "y").await, "nobody waits any more");
    assert!(held(&store).await.is_empty(), "also what was granted and never used");
    assert_eq!(register(&store, "n", 1, &["a"]).await, Registration::Registered);
}

pub async fn who_holds_rows_passes_who_holds_none(store: Store) {
    for xid in ["x", "y", "n"] {
        begin(&store, xid).await;
    }
    register(&store, "x", 1, &["b"]).await;
    wait(&store, "o", "y", &["a", "b"]).await;
    assert!(matches!(register(&store, "n", 1, &["a"]).await, Registration::Conflict(_)));
    assert_eq!(register(&store, "n", 1, &["c"]).await, Registration::Registered);
    assert_eq!(register(&store, "n", 2, &["a"]).await, Registration::Registered, "it holds a row now");
    assert_eq!(register(&store, "x", 2, &["b", "d"]).await, Registration::Registered);
    assert!(end(&store, "x").await);
    assert_eq!(store.serve("o").await.unwrap(), told(&[]));
    assert!(end(&store, "n").await);
    assert_eq!(store.serve("o").await.unwrap(), told(&[("y", Answer::Granted)]));
}

pub async fn free_rows_are_granted_at_once(store: Store) {
    begin(&store, "x").await;
    assert_eq!(wait(&store, "o", "x", &["a", "b"]).await, told(&[("x", Answer::Granted)]));
    assert_eq!(held(&store).await, set(&[("x", "a", false), ("x", "b", false)]));
    assert_eq!(decide(&store, "x", ROLLBACK).await, GlobalStatus::RolledBack);
    assert!(held(&store).await.is_empty(), "a rollback without branches is the end");
}

pub async fn rows_are_taken_without_a_branch(store: Store) {
    for xid in ["x", "y", "z"] {
        begin(&store, xid).await;
    }
    let take = async |xid: &str, keys: &[&str]| {
        store.take(xid, &keys.iter().map(|key| lock(key)).collect::<Vec<_>>()).await.unwrap()
    };
    assert_eq!(take("nobody", &["a"]).await, Registration::Ended(None));
    assert_eq!(take("x", &["a", "b"]).await, Registration::Registered);
    assert_eq!(take("x", &["b", "a"]).await, Registration::Registered, "they are its own");
    let Registration::Conflict(conflict) = take("y", &["c", "b"]).await else { panic!("it is held") };
    assert_eq!((conflict.holder.as_str(), conflict.lock.key.as_str()), ("x", "b"));
    let Registration::Conflict(_) = register(&store, "y", 1, &["a"]).await else { panic!("it is held") };
    assert_eq!(held(&store).await, set(&[("x", "a", false), ("x", "b", false)]), "all or none");
    wait(&store, "o", "y", &["b", "d"]).await;
    let Registration::Conflict(conflict) = take("z", &["d"]).await else { panic!("somebody waits for it") };
    assert_eq!(conflict.holder, "y");
    assert_eq!(decide(&store, "x", Decision::Commit).await, GlobalStatus::Committed);
    assert_eq!(take("x", &["e"]).await, Registration::Ended(Some(GlobalStatus::Committed)));
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    assert_eq!(take("late", &["e"]).await, Registration::Ended(Some(GlobalStatus::Active)));
    assert_eq!(store.serve("o").await.unwrap(), told(&[("y", Answer::Granted)]));
}

pub async fn another_coordinator_reads_what_its_waiters_were_told(store: Store) {
    for xid in ["x", "y", "z"] {
        begin(&store, xid).await;
    }
    register(&store, "x", 1, &["a"]).await;
    wait(&store, "other", "y", &["a"]).await;
    wait(&store, "other", "z", &["a"]).await;
    assert_eq!(store.answers("other").await.unwrap().len(), 2);
    assert!(store.answers("other").await.unwrap().iter().all(|(_, answer)| answer.is_none()));
    end(&store, "x").await;
    assert_eq!(store.serve("o").await.unwrap(), told(&[]), "not its own");
    assert!(store.answers("o").await.unwrap().is_empty());
    let mut answers = store.answers("other").await.unwrap();
    answers.sort();
    assert_eq!(answers, [("w-y".to_owned(), Some(Answer::Granted)), ("w-z".to_owned(), None)]);
    assert_eq!(store.answers("other").await.unwrap(), [("w-z".to_owned(), None)], "read once");
}

pub async fn a_circle_is_broken_at_once(store: Store) {
    for xid in ["x", "y", "z"] {
        begin(&store, xid).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (xid, key) in [("x", "a"), ("y", "b"), ("z", "c")] {
        register(&store, xid, 1, &[key]).await;
    }
    wait(&store, "o", "z", &["a"]).await;
    wait(&store, "other", "x", &["b"]).await;
    assert_eq!(wait(&store, "o", "y", &["c"]).await, told(&[("z", Answer::Deadlock)]), "z began last");
    decide(&store, "z", ROLLBACK).await;
    let settled = store.settle("z", &[(1, BranchStatus::Done)]).await.unwrap().unwrap();
    assert!(settled.wanted);
    assert_eq!(store.serve("o").await.unwrap(), told(&[("y", Answer::Granted)]));
    assert!(end(&store, "y").await);
    store.serve("o").await.unwrap();
    assert_eq!(store.answers("other").await.unwrap(), [("w-x".to_owned(), Some(Answer::Granted))]);
}

pub async fn nobody_waits_for_what_cannot_come(store: Store) {
    for xid in ["parked", "x", "y", "z"] {
        begin(&store, xid).await;
    }
    register(&store, "parked", 1, &["a"]).await;
    register(&store, "x", 1, &["b"]).await;
    wait(&store, "o", "z", &["a", "b"]).await;
    decide(&store, "parked", ROLLBACK).await;
    settle(&store, "parked", &[(1, BranchStatus::Parked)]).await;
    assert_eq!(store.serve("o").await.unwrap(), told(&[("z", Answer::Parked)]));
    wait(&store, "o", "y", &["b"]).await;
    decide(&store, "y", ROLLBACK).await;
    assert_eq!(store.serve("o").await.unwrap(), told(&[("y", Answer::Ended)]));
    assert_eq!(wait(&store, "o", "not known", &["c"]).await, told(&[("not known", Answer::Ended)]));
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    assert_eq!(wait(&store, "o", "late", &["c"]).await, told(&[("late", Answer::Ended)]));
    assert!(waiting(&store).await.is_empty() && store.answers("o").await.unwrap().is_empty());
}

pub async fn who_leaves_or_loses_patience_is_passed_over(store: Store) {
    for xid in ["x", "y", "z", "n"] {
        begin(&store, xid).await;
    }
    register(&store, "x", 1, &["a"]).await;
    wait(&store, "o", "y", &["a"]).await;
    let (owner, locks) = ("o".to_owned(), vec![lock("a")]);
    let short = NewWaiter { waiter: "short".to_owned(), xid: "z".to_owned(), owner, locks, patience: Duration::ZERO };
    let told = store.enqueue(&short).await.unwrap();
    assert_eq!(told, [("short".to_owned(), Answer::Late)], "its transaction is open");
    store.leave(&["w-y", "not known"]).await.unwrap();
    assert!(waiting(&store).await.is_empty());
    end(&store, "x").await;
    store.serve("o").await.unwrap();
    assert!(held(&store).await.is_empty());
    assert_eq!(register(&store, "n", 1, &["a"]).await, Registration::Registered);
}

pub async fn what_a_dead_coordinator_never_read_is_forgotten(store: Store) {
    for xid in ["x", "over", "open"] {
        begin(&store, xid).await;
    }
    register(&store, "x", 1, &["a"]).await;
    wait(&store, "dead", "over", &["a"]).await;
    wait(&store, "dead", "open", &["a"]).await;
    // Both are answered by another coordinator, and only one of them has ended.
    end(&store, "x").await;
    store.serve("o").await.unwrap();
    end(&store, "over").await;
    store.serve("o").await.unwrap();
    store.purge(MINUTE).await.unwrap();
    let answers = store.answers("dead").await.unwrap();
    assert_eq!(answers, [("w-open".to_owned(), Some(Answer::Granted))], "of the one that is still open");
}

pub async fn thirty_two_take_turns_on_one_row(store: Store) {
    let mut tasks = Vec::new();
    let holder = Arc::new(std::sync::Mutex::new(None::<String>));
    for number in 0..32 {
        let (store, holder) = (Arc::clone(&store), Arc::clone(&holder));
        tasks.push(tokio::spawn(async move {
            let (xid, owner) = (format!("x{number}"), format!("o{}", number % 2));
            begin(&store, &xid).await;
            let mut granted = wait(&store, &owner, &xid, &["hot"]).await;
            while !held(&store).await.contains(&(xid.clone(), "hot".to_owned(), false)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                granted.extend(store.serve(&owner).await.unwrap());
                store.answers(&owner).await.unwrap();
            }
            assert_eq!(holder.lock().unwrap().replace(xid.clone()), None, "two at once");
            assert_eq!(register(&store, &xid, 1, &["hot"]).await, Registration::Registered);
            assert_eq!(holder.lock().unwrap().take(), Some(xid.clone()));
            // Not all commit.
            if number % 3 == 0 {
                decide(&store, &xid, ROLLBACK).await;
                settle(&store, &xid, &[(1, BranchStatus::Done)]).await;
            } else {
                end(&store, &xid).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(held(&store).await.is_empty() && waiting(&store).await.is_empty());
}
