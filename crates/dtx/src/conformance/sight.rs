use std::collections::HashSet;
use std::time::Duration;

use super::cases::{MINUTE, ROLLBACK, Store, begin, decide, register, settle};
use crate::coordinator::{TransactionFilter, TransactionInfo};
use crate::tc::state::{BranchStatus, Decision, GlobalStatus};

pub async fn transactions_are_counted_by_their_states(store: Store) {
    assert!(store.tally().await.unwrap().is_empty());
    for xid in ["a", "b", "c", "d", "e"] {
        begin(&store, xid).await;
    }
    register(&store, "c", 1, &[]).await;
    decide(&store, "c", Decision::Commit).await;
    decide(&store, "d", Decision::Commit).await;
    register(&store, "e", 1, &["k"]).await;
    decide(&store, "e", ROLLBACK).await;
    settle(&store, "e", &[(1, BranchStatus::Parked)]).await;
    let tallies = store.tally().await.unwrap();
    let counts: HashSet<_> = tallies.iter().map(|tally| (tally.status, tally.count)).collect();
    let expected = [(GlobalStatus::Active, 2), (GlobalStatus::Committing, 1), (GlobalStatus::Parked, 1)];
    assert_eq!(counts, HashSet::from(expected), "what is over is not counted");
    assert!(tallies.iter().all(|tally| tally.oldest < MINUTE));
}

pub async fn transactions_are_shown_by_what_is_asked_for(store: Store) {
    for xid in ["open", "committing", "committed", "parked", "over there/\"x\""] {
        begin(&store, xid).await;
        register(&store, xid, 1, &[xid, "and more"][..usize::from(xid == "parked") + 1]).await;
    }
    decide(&store, "committing", Decision::Commit).await;
    decide(&store, "committed", Decision::Commit).await;
    settle(&store, "committed", &[(1, BranchStatus::Done)]).await;
    decide(&store, "parked", ROLLBACK).await;
    settle(&store, "parked", &[(1, BranchStatus::Parked)]).await;
    store.postpone("committing", Duration::ZERO).await.unwrap();
    let shown = async |filter: TransactionFilter| -> Vec<_> {
        store.transactions(&filter).await.unwrap().into_iter().map(|shown| shown.xid).collect()
    };
    let odd = "over there/\"x\"";
    assert_eq!(shown(TransactionFilter::default()).await, ["open", "committing", "parked", odd]);
    assert_eq!(shown(TransactionFilter::default().with_limit(2)).await, ["open", "committing"], "the oldest");
    assert_eq!(shown(TransactionFilter::default().in_states([GlobalStatus::Active])).await, ["open", odd]);
    assert_eq!(shown(TransactionFilter::default().in_states([GlobalStatus::Committed])).await, ["committed"]);
    assert_eq!(shown(TransactionFilter::default().in_states([])).await, [""; 0]);
    assert_eq!(shown(TransactionFilter::stuck(Duration::ZERO)).await, ["committing", "parked"]);
    assert_eq!(shown(TransactionFilter::stuck(MINUTE)).await, [""; 0]);
    assert_eq!(shown(TransactionFilter::default().with_tries(1)).await, ["committing"]);
    assert_eq!(shown(TransactionFilter::of("committed")).await, ["committed"]);
    assert_eq!(shown(TransactionFilter::of("absent")).await, [""; 0]);
    let all = store.transactions(&TransactionFilter::default()).await.unwrap();
    let rows = |shown: &TransactionInfo| -> Vec<_> { shown.locks.iter().map(|lock| lock.key.clone()).collect() };
    assert_eq!((rows(&all[0]), rows(&all[1]), rows(&all[3])), (vec!["open".to_owned()], vec![], vec![odd.to_owned()]));
    assert_eq!((all[1].tries, all[1].branches.len(), all[3].branches.len()), (1, 1, 1));
    assert_eq!(all[2].locks.len(), 2);
    assert!(all[2].locks.iter().all(|lock| lock.parked && lock.xid == "parked"), "{:?}", all[2]);
}
