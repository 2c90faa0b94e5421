use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::cases::{MINUTE, ROLLBACK, Store, begin, decide, register, settle, shift};
use crate::coordinator::NewBranch;
use crate::tc::state::{BranchStatus, Decision, GlobalStatus};
use crate::tc::store::Shift;

pub async fn coordinators_divide_what_is_due(store: Store) {
    for xid in ["a", "b"] {
        begin(&store, xid).await;
        register(&store, xid, 1, &[]).await;
        decide(&store, xid, Decision::Commit).await;
    }
    let claim = async |limit| store.due(&shift(limit, MINUTE)).await.unwrap().len();
    assert_eq!((claim(1).await, claim(10).await, claim(10).await), (1, 1, 0));
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    assert_eq!((claim(10).await, claim(10).await), (1, 1), "until it is decided");
    // What was put off far longer than anything is was so by a clock that has gone back since.
    store.decide("late", ROLLBACK, Duration::ZERO).await.unwrap();
    store.postpone("a", MINUTE * 60).await.unwrap();
    let due: Vec<_> = store.due(&shift(10, MINUTE)).await.unwrap().into_iter().map(|due| due.xid).collect();
    assert_eq!(due, ["a"]);
    assert_eq!(claim(10).await, 0);
}

pub async fn a_coordinator_takes_on_what_its_resources_have_a_part_in(store: Store) {
    for (xid, resources) in [("both", &["mine", "theirs"][..]), ("theirs", &["theirs"]), ("none", &[])] {
        begin(&store, xid).await;
        for (branch_id, resource_id) in (1..).zip(resources) {
            let (xid, resource_id) = (xid.to_owned(), (*resource_id).to_owned());
            store.register(&NewBranch { xid, branch_id, resource_id, locks: Vec::new() }).await.unwrap();
        }
    }
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    decide(&store, "both", ROLLBACK).await;
    decide(&store, "theirs", Decision::Commit).await;
    let due = async |claim: Duration, resources: &[&str]| -> BTreeSet<_> {
        let resources = Some(resources.iter().map(|name| (*name).to_owned()).collect());
        store.due(&Shift { resources, ..shift(10, claim) }).await.unwrap().into_iter().map(|due| due.xid).collect()
    };
    let set = |xids: &[&str]| -> BTreeSet<_> { xids.iter().map(|xid| (*xid).to_owned()).collect() };
    assert_eq!(due(Duration::ZERO, &["mine"]).await, set(&["both", "late"]));
    assert_eq!(due(Duration::ZERO, &["other", "theirs"]).await, set(&["both", "theirs", "late"]));
    assert_eq!(due(Duration::ZERO, &[]).await, set(&["late"]), "a deadline is everybody's");
    assert!(due(Duration::ZERO, &["mine", "no/plain \"name\""]).await.is_superset(&set(&["both", "late"])));
    assert_eq!(due(MINUTE, &["mine"]).await, set(&["both", "late"]));
    assert_eq!(due(MINUTE, &["mine"]).await, set(&["late"]), "it is taken");
    store.postpone("both", Duration::ZERO).await.unwrap();
    settle(&store, "both", &[(1, BranchStatus::Done)]).await;
    assert_eq!(due(MINUTE, &["mine"]).await, set(&["late"]), "what is left of it is not for mine");
    assert_eq!(due(MINUTE, &["theirs"]).await, set(&["both", "late", "theirs"]));
}

pub async fn open_transactions_of_a_dead_coordinator_are_found(store: Store) {
    let orphans = async || -> HashSet<_> {
        store.orphans(10).await.unwrap().into_iter().map(|due| (due.xid, due.status)).collect()
    };
    store.beat("alive", MINUTE).await.unwrap();
    store.beat("dead", MINUTE).await.unwrap();
    for xid in ["alive.1", "dead.1", "dead.2"] {
        begin(&store, xid).await;
    }
    assert!(orphans().await.is_empty());
    store.beat("dead", Duration::ZERO).await.unwrap();
    register(&store, "dead.2", 1, &[]).await;
    decide(&store, "dead.2", Decision::Commit).await;
    let left = HashSet::from([("dead.1".to_owned(), GlobalStatus::Active)]);
    assert_eq!(orphans().await, left, "what is decided is nobody's");
    begin(&store, "never.1").await;
    assert_eq!(orphans().await.len(), 2);
    assert_eq!(store.orphans(1).await.unwrap().len(), 1);
}
