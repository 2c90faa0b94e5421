use std::collections::BTreeSet;
use std::time::Duration;

use super::cases::{MINUTE, ROLLBACK, Store, begin, branch, decide, held, lock, register, set};
use crate::coordinator::TransactionFilter;
use crate::tc::state::GlobalStatus;
use crate::tc::store::{NewGlobal, NewWaiter, Registration};

fn new(xid: &str) -> NewGlobal {
    NewGlobal { xid: xid.to_owned(), name: format!("name of {xid}; 'quoted' 🦀"), timeout: MINUTE }
}

pub async fn many_begin_at_once_and_twice_is_once(store: Store) {
    store.begin_all(&[]).await.unwrap();
    store.begin_all(&[new("a"), new("b")]).await.unwrap();
    register(&store, "a", 1, &["k"]).await;
    store.begin_all(&[new("b"), new("a"), new("c")]).await.unwrap();
    store.begin("a", "another", Duration::ZERO).await.unwrap();
    let shown: BTreeSet<_> = store
        .transactions(&TransactionFilter::default())
        .await
        .unwrap()
        .into_iter()
        .map(|one| (one.xid, one.name))
        .collect();
    assert_eq!(shown, ["a", "b", "c"].map(|xid| (xid.to_owned(), new(xid).name)).into());
    assert_eq!(store.branches("a").await.unwrap().len(), 1);
}

pub async fn many_register_at_once_each_by_itself(store: Store) {
    for xid in ["a", "b", "c", "d", "holder", "over"] {
        begin(&store, xid).await;
    }
    register(&store, "holder", 1, &["held"]).await;
    register(&store, "d", 1, &["mine"]).await;
    decide(&store, "over", ROLLBACK).await;
    let answers = store
        .register_all(&[
            branch("a", 1, &["x", "y", "x"]),
            branch("b", 1, &["z", "held"]),
            branch("c", 1, &["y"]),
            branch("a", 2, &["w", "y"]),
            branch("over", 1, &["v"]),
            branch("d", 2, &["mine", "u"]),
            branch("not known", 1, &["v"]),
            branch("a", 1, &["x", "y"]),
            branch("b", 2, &[]),
        ])
        .await
        .unwrap();
    let told: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Registration::Registered => "registered".to_owned(),
            Registration::Conflict(conflict) => format!("{} of {}", conflict.lock.key, conflict.holder),
            Registration::Ended(status) => format!("{status:?}"),
        })
        .collect();
    let (yes, over) = ("registered", "Some(RolledBack)");
    assert_eq!(told, [yes, "held of holder", "y of a", yes, over, yes, "None", yes, yes]);
    let ids = async |xid| -> Vec<_> {
        store.branches(xid).await.unwrap().into_iter().map(|branch| branch.branch_id).collect()
    };
    assert_eq!((ids("a").await, ids("b").await, ids("d").await), (vec![1, 2], vec![2], vec![1, 2]));
    let locks = [("a", "w"), ("a", "x"), ("a", "y"), ("d", "mine"), ("d", "u"), ("holder", "held")];
    assert_eq!(held(&store).await, set(&locks.map(|(xid, key)| (xid, key, false))), "all rows or none");
    assert!(store.register_all(&[]).await.unwrap().is_empty());
}

pub async fn many_commit_at_once_and_free_their_rows(store: Store) {
    for xid in ["a", "b", "empty", "undone", "waits"] {
        begin(&store, xid).await;
    }
    register(&store, "a", 1, &["x"]).await;
    register(&store, "b", 1, &["y"]).await;
    register(&store, "undone", 1, &["z"]).await;
    decide(&store, "undone", ROLLBACK).await;
    let (waiter, xid, owner) = ("w".to_owned(), "waits".to_owned(), "o".to_owned());
    store.enqueue(&NewWaiter { waiter, xid, owner, locks: vec![lock("y")], patience: MINUTE }).await.unwrap();
    let asked = ["b", "not known", "undone", "a", "empty", "a"];
    let decided = store.commit_all(&asked).await.unwrap();
    let told: Vec<_> =
        decided.iter().map(|decided| decided.map(|decided| (decided.standing.status, decided.wanted))).collect();
    let (committing, committed) = (GlobalStatus::Committing, GlobalStatus::Committed);
    let mut expected = [
        Some((committing, true)),
        None,
        Some((GlobalStatus::RollingBack, false)),
        Some((committing, false)),
        Some((committed, false)),
        Some((committing, false)),
    ];
    assert_eq!(told, expected);
    assert_eq!(held(&store).await, set(&[("undone", "z", false)]));
    expected[0] = expected[3];
    let again = store.commit_all(&asked).await.unwrap();
    assert_eq!(again.iter().map(|one| one.map(|one| (one.standing.status, one.wanted))).collect::<Vec<_>>(), expected);
}

/// A waiter may be of the very transaction that is decided; nothing that it is granted outlives that.
pub async fn a_commit_takes_along_what_its_own_waiter_was_granted(store: Store) {
    for (xid, first) in [("a", "decide"), ("b", "serve")] {
        begin(&store, "holder").await;
        let holder = format!("holder of {xid}");
        begin(&store, &holder).await;
        begin(&store, xid).await;
        register(&store, xid, 1, &["own"]).await;
        register(&store, &holder, 1, &["row"]).await;
        let (waiter, owner) = (format!("w {xid}"), "o".to_owned());
        let waiter = NewWaiter { waiter, xid: xid.to_owned(), owner, locks: vec![lock("row")], patience: MINUTE };
        store.enqueue(&waiter).await.unwrap();
        store.commit_all(&[&holder]).await.unwrap();
        if first == "serve" {
            store.serve("o").await.unwrap();
        }
        store.commit_all(&[xid]).await.unwrap();
        store.serve("o").await.unwrap();
        assert!(held(&store).await.is_empty(), "{first}");
    }
}
