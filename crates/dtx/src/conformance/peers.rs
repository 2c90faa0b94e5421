use std::collections::HashSet;
use std::time::Duration;

use super::cases::{MINUTE, ROLLBACK, Store, begin, decide, register};
use crate::tc::state::{Decision, GlobalStatus};

pub async fn coordinators_divide_what_is_due(store: Store) {
    for xid in ["a", "b"] {
        begin(&store, xid).await;
        register(&store, xid, 1, &[]).await;
        decide(&store, xid, Decision::Commit).await;
    }
    let claim = async |limit| store.due(limit, MINUTE, MINUTE * 2).await.unwrap().len();
    assert_eq!((claim(1).await, claim(10).await, claim(10).await), (1, 1, 0));
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    assert_eq!((claim(10).await, claim(10).await), (1, 1), "until it is decided");
    // What was put off far longer than anything is was so by a clock that has gone back since.
    store.decide("late", ROLLBACK, Duration::ZERO).await.unwrap();
    store.postpone("a", MINUTE * 60).await.unwrap();
    let due: Vec<_> = store.due(10, MINUTE, MINUTE * 2).await.unwrap().into_iter().map(|due| due.xid).collect();
    assert_eq!(due, ["a"]);
    assert_eq!(claim(10).await, 0);
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
