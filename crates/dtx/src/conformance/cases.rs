use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::{NewBranch, TransactionFilter};
use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, Decision, GlobalStatus, Reason};
use crate::tc::store::{Registration, Shift, TcStore};

pub(super) type Store = Arc<dyn TcStore>;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const ROLLBACK: Decision = Decision::Rollback(Reason::Failed);

pub use onceward_backend::conformance::block_on as on_runtime;

pub(super) fn lock(key: &str) -> LockKey {
    LockKey { resource_id: "r".to_owned(), table: "t".to_owned(), key: key.to_owned() }
}

pub(super) fn branch(xid: &str, branch_id: i64, keys: &[&str]) -> NewBranch {
    let locks = keys.iter().map(|key| lock(key)).collect();
    NewBranch { xid: xid.to_owned(), branch_id, resource_id: "r".to_owned(), locks }
}

pub(super) async fn begin(store: &Store, xid: &str) {
    store.begin(xid, "a name", MINUTE).await.unwrap();
}

pub(super) async fn register(store: &Store, xid: &str, branch_id: i64, keys: &[&str]) -> Registration {
    store.register(&branch(xid, branch_id, keys)).await.unwrap()
}

pub(super) async fn decide(store: &Store, xid: &str, decision: Decision) -> GlobalStatus {
    store.decide(xid, decision, Duration::ZERO).await.unwrap().unwrap().standing.status
}

pub(super) async fn settle(store: &Store, xid: &str, ends: &[(i64, BranchStatus)]) -> GlobalStatus {
    store.settle(xid, ends).await.unwrap().unwrap().standing.status
}

pub(super) async fn held(store: &Store) -> BTreeSet<(String, String, bool)> {
    let locks = store.locks().await.unwrap();
    locks.into_iter().map(|lock| (lock.xid, lock.key, lock.parked)).collect()
}

pub(super) fn set(locks: &[(&str, &str, bool)]) -> BTreeSet<(String, String, bool)> {
    locks.iter().map(|&(xid, key, parked)| (xid.to_owned(), key.to_owned(), parked)).collect()
}

pub(super) fn shift(limit: i64, claim: Duration) -> Shift {
    Shift { limit, claim, longest: MINUTE * 2, resources: None }
}

pub async fn begins_and_is_found(store: Store) {
    assert!(store.find("x").await.unwrap().is_none());
    assert!(store.decide("x", Decision::Commit, Duration::ZERO).await.unwrap().is_none());
    assert!(store.settle("x", &[]).await.unwrap().is_none());
    assert_eq!(register(&store, "x", 1, &[]).await, Registration::Ended(None));
    begin(&store, "x").await;
    let found = store.find("x").await.unwrap().unwrap();
    assert_eq!((found.status, found.reason), (GlobalStatus::Active, None));
    let shown = store.transactions(&TransactionFilter::default()).await.unwrap();
    assert_eq!((shown.len(), shown[0].xid.as_str(), shown[0].name.as_str()), (1, "x", "a name"));
    assert!(shown[0].age < MINUTE && shown[0].branches.is_empty());
}

pub async fn the_first_decision_stands(store: Store) {
    for (xid, first, second, status) in [
        ("c", Decision::Commit, ROLLBACK, GlobalStatus::Committing),
        ("r", ROLLBACK, Decision::Commit, GlobalStatus::RollingBack),
    ] {
        begin(&store, xid).await;
        assert_eq!(register(&store, xid, 1, &[xid]).await, Registration::Registered);
        assert_eq!(decide(&store, xid, first).await, status);
        assert_eq!(decide(&store, xid, second).await, status);
        assert_eq!(decide(&store, xid, first).await, status);
    }
    assert_eq!(store.find("r").await.unwrap().unwrap().reason, Some(Reason::Failed));
    assert_eq!(store.find("c").await.unwrap().unwrap().reason, None, "the loser leaves no trace");
    assert_eq!(settle(&store, "c", &[(1, BranchStatus::Done)]).await, GlobalStatus::Committed);
    assert_eq!(decide(&store, "c", ROLLBACK).await, GlobalStatus::Committed);
}

pub async fn an_empty_transaction_ends_with_its_decision(store: Store) {
    for (xid, decision, status) in
        [("c", Decision::Commit, GlobalStatus::Committed), ("r", ROLLBACK, GlobalStatus::RolledBack)]
    {
        begin(&store, xid).await;
        assert_eq!(decide(&store, xid, decision).await, status);
    }
    assert!(store.unfinished().await.unwrap().is_empty());
    assert!(store.transactions(&TransactionFilter::default()).await.unwrap().is_empty());
}

pub async fn registers_once(store: Store) {
    begin(&store, "x").await;
    for _ in 0..3 {
        assert_eq!(register(&store, "x", 1, &["a"]).await, Registration::Registered);
    }
    assert_eq!(store.branches("x").await.unwrap().len(), 1);
    assert_eq!(held(&store).await, set(&[("x", "a", false)]));
}

pub async fn takes_all_locks_or_none(store: Store) {
    begin(&store, "x").await;
    begin(&store, "y").await;
    assert_eq!(register(&store, "x", 1, &["b"]).await, Registration::Registered);
    let Registration::Conflict(conflict) = register(&store, "y", 1, &["a", "b", "c"]).await else {
        panic!("two transactions hold one row");
    };
    assert_eq!((conflict.holder.as_str(), conflict.status), ("x", GlobalStatus::Active));
    assert_eq!(conflict.lock, lock("b"));
    assert_eq!(held(&store).await, set(&[("x", "b", false)]));
    assert!(store.branches("y").await.unwrap().is_empty());
    for xid in [None, Some("y")] {
        assert_eq!(store.held(xid, &[lock("a"), lock("b")]).await.unwrap().unwrap().holder, "x");
        assert!(store.held(xid, &[lock("a"), lock("c")]).await.unwrap().is_none());
    }
    assert!(store.held(Some("x"), &[lock("a"), lock("b")]).await.unwrap().is_none());
    assert_eq!(register(&store, "y", 1, &["a", "c"]).await, Registration::Registered);
}

pub async fn a_lock_of_the_same_transaction_is_no_conflict(store: Store) {
    begin(&store, "x").await;
    assert_eq!(register(&store, "x", 1, &["a", "a"]).await, Registration::Registered);
    assert_eq!(register(&store, "x", 2, &["b", "a"]).await, Registration::Registered);
    assert_eq!(held(&store).await, set(&[("x", "a", false), ("x", "b", false)]));
}

pub async fn a_commit_frees_the_locks(store: Store) {
    begin(&store, "x").await;
    register(&store, "x", 1, &["a", "b"]).await;
    let decided = store.decide("x", Decision::Commit, Duration::ZERO).await.unwrap().unwrap();
    assert!(held(&store).await.is_empty() && !decided.wanted);
}

pub async fn a_rollback_keeps_the_locks_of_each_branch_until_that_is_done(store: Store) {
    begin(&store, "x").await;
    begin(&store, "y").await;
    register(&store, "x", 1, &["a", "both"]).await;
    register(&store, "x", 2, &["b", "both"]).await;
    assert_eq!(decide(&store, "x", ROLLBACK).await, GlobalStatus::RollingBack);
    let Registration::Conflict(conflict) = register(&store, "y", 1, &["a"]).await else { panic!("too early") };
    assert_eq!(conflict.status, GlobalStatus::RollingBack);
    assert_eq!(settle(&store, "x", &[]).await, GlobalStatus::RollingBack);
    assert_eq!(held(&store).await.len(), 3);
    assert_eq!(settle(&store, "x", &[(2, BranchStatus::Done)]).await, GlobalStatus::RollingBack);
    assert_eq!(held(&store).await, set(&[("x", "a", false), ("x", "both", false)]), "the other branch's are its own");
    assert_eq!(settle(&store, "x", &[(1, BranchStatus::Done)]).await, GlobalStatus::RolledBack);
    assert!(held(&store).await.is_empty());
    assert!(store.branches("x").await.unwrap().is_empty());
    assert_eq!(register(&store, "y", 1, &["a"]).await, Registration::Registered);
}

pub async fn a_branch_that_failed_early_gives_up_its_locks_with_the_rest(store: Store) {
    begin(&store, "x").await;
    register(&store, "x", 1, &["a"]).await;
    assert_eq!(settle(&store, "x", &[(1, BranchStatus::Done)]).await, GlobalStatus::Active);
    assert_eq!(held(&store).await, set(&[("x", "a", false)]), "the transaction may still change the row");
    assert_eq!(decide(&store, "x", ROLLBACK).await, GlobalStatus::RollingBack);
    // No branch is asked any more: there is no answer to note.
    let over = store.settle("x", &[]).await.unwrap().unwrap();
    assert_eq!(over.standing.status, GlobalStatus::RolledBack);
    assert!(held(&store).await.is_empty() && store.branches("x").await.unwrap().is_empty());
}

pub async fn a_parked_branch_keeps_its_own_locks(store: Store) {
    begin(&store, "x").await;
    register(&store, "x", 1, &["a", "shared"]).await;
    register(&store, "x", 2, &["b", "shared"]).await;
    decide(&store, "x", ROLLBACK).await;
    assert_eq!(settle(&store, "x", &[(2, BranchStatus::Parked)]).await, GlobalStatus::RollingBack);
    assert_eq!(settle(&store, "x", &[(1, BranchStatus::Done)]).await, GlobalStatus::Parked);
    assert_eq!(held(&store).await, set(&[("x", "b", true), ("x", "shared", true)]));
    let branches = store.branches("x").await.unwrap();
    assert_eq!((branches.len(), branches[0].branch_id, branches[0].status), (1, 2, BranchStatus::Parked));
    assert_eq!(store.parked().await.unwrap(), [("x".to_owned(), branches[0].clone())]);
    for again in [BranchStatus::Parked, BranchStatus::Registered] {
        assert_eq!(settle(&store, "x", &[(2, again)]).await, GlobalStatus::Parked, "a person decides");
    }
}

pub async fn a_repaired_branch_gives_up_its_own_locks(store: Store) {
    begin(&store, "x").await;
    register(&store, "x", 1, &["a", "shared"]).await;
    register(&store, "x", 2, &["b", "shared"]).await;
    decide(&store, "x", ROLLBACK).await;
    settle(&store, "x", &[(1, BranchStatus::Parked), (2, BranchStatus::Parked)]).await;
    let parked: Vec<_> = store.parked().await.unwrap().into_iter().map(|(_, branch)| branch.branch_id).collect();
    assert_eq!(parked, [2, 1], "the last registered first");
    let first = store.settle("x", &[(1, BranchStatus::Done)]).await.unwrap().unwrap();
    assert_eq!(first.standing.status, GlobalStatus::Parked);
    assert_eq!(held(&store).await, set(&[("x", "b", true), ("x", "shared", true)]));
    assert_eq!(store.parked().await.unwrap().len(), 1);
    let last = store.settle("x", &[(2, BranchStatus::Done)]).await.unwrap().unwrap();
    assert_eq!(last.standing.status, GlobalStatus::RolledBack);
    assert!(held(&store).await.is_empty() && store.parked().await.unwrap().is_empty());
    assert!(
        store.branches("x").await.unwrap().is_empty()
            && store.transactions(&TransactionFilter::default()).await.unwrap().is_empty()
    );
    assert_eq!(settle(&store, "x", &[(2, BranchStatus::Parked)]).await, GlobalStatus::RolledBack);
    // A branch may be repaired while others are not yet undone.
    begin(&store, "y").await;
    register(&store, "y", 1, &["a"]).await;
    register(&store, "y", 2, &["b"]).await;
    decide(&store, "y", ROLLBACK).await;
    settle(&store, "y", &[(1, BranchStatus::Parked)]).await;
    assert_eq!(settle(&store, "y", &[(1, BranchStatus::Done)]).await, GlobalStatus::RollingBack);
    assert_eq!(settle(&store, "y", &[(1, BranchStatus::Parked)]).await, GlobalStatus::RollingBack);
    assert_eq!(settle(&store, "y", &[(2, BranchStatus::Done)]).await, GlobalStatus::RolledBack);
    assert!(held(&store).await.is_empty());
    assert_eq!(store.purge(Duration::ZERO).await.unwrap(), 2, "repaired outcomes are forgotten like others");
}

pub async fn takes_no_branch_after_the_decision_or_the_deadline(store: Store) {
    begin(&store, "x").await;
    decide(&store, "x", ROLLBACK).await;
    assert_eq!(register(&store, "x", 1, &["a"]).await, Registration::Ended(Some(GlobalStatus::RolledBack)));
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    assert_eq!(register(&store, "late", 1, &["a"]).await, Registration::Ended(Some(GlobalStatus::Active)));
    assert!(held(&store).await.is_empty());
}

pub async fn branches_come_in_the_order_of_registration(store: Store) {
    begin(&store, "x").await;
    for id in [5, 3, 9, 1] {
        register(&store, "x", id, &[]).await;
    }
    let order: Vec<_> = store.branches("x").await.unwrap().into_iter().map(|branch| branch.branch_id).collect();
    assert_eq!(order, [5, 3, 9, 1]);
}

pub async fn many_commits_end_at_once(store: Store) {
    let names: Vec<_> =
        (0..40).map(|n| format!("x{n}")).chain(["a b", "a/\"b\\", "empty"].map(str::to_owned)).collect();
    for (at, xid) in (0..).zip(&names) {
        begin(&store, xid).await;
        if xid != "empty" {
            register(&store, xid, 2 * at, &[xid]).await;
            register(&store, xid, 1, &[]).await;
        }
    }
    let (open, undone) = ("x0", "x1");
    for xid in names.iter().filter(|xid| *xid != open) {
        decide(&store, xid, if xid == undone { ROLLBACK } else { Decision::Commit }).await;
    }
    let mut asked: Vec<&str> = names.iter().map(String::as_str).collect();
    asked.push("not known");
    let branches = store.branches_of(&asked).await.unwrap();
    assert_eq!(branches.len(), asked.len());
    for (at, xid) in asked.iter().enumerate() {
        assert_eq!(branches[at], store.branches(xid).await.unwrap(), "{xid}");
    }
    assert_eq!(branches[5].iter().map(|branch| branch.branch_id).collect::<Vec<_>>(), [10, 1]);
    store.end_committed(&asked).await.unwrap();
    store.end_committed(&[]).await.unwrap();
    for xid in &names {
        let status = store.find(xid).await.unwrap().unwrap().status;
        let expected = match xid.as_str() {
            "x0" => GlobalStatus::Active,
            "x1" => GlobalStatus::RollingBack,
            _ => GlobalStatus::Committed,
        };
        assert_eq!(status, expected, "{xid}");
        let left = store.branches(xid).await.unwrap();
        let registered = left.iter().all(|branch| branch.status == BranchStatus::Registered);
        assert!(registered && left.is_empty() == status.is_over(), "{xid}: {left:?}");
    }
    assert_eq!(held(&store).await, set(&[("x0", "x0", false), ("x1", "x1", false)]));
    assert_eq!(store.due(&shift(100, Duration::ZERO)).await.unwrap().len(), 1);
}

pub async fn what_is_due_is_found_and_put_off(store: Store) {
    begin(&store, "open").await;
    store.begin("late", "a name", Duration::ZERO).await.unwrap();
    begin(&store, "decided").await;
    register(&store, "decided", 1, &[]).await;
    decide(&store, "decided", Decision::Commit).await;
    begin(&store, "later").await;
    register(&store, "later", 1, &[]).await;
    store.decide("later", ROLLBACK, MINUTE).await.unwrap();
    let due = async || -> HashSet<_> {
        let due = store.due(&shift(10, Duration::ZERO)).await.unwrap();
        due.into_iter().map(|due| (due.xid, due.status, due.tries)).collect()
    };
    let late = ("late".to_owned(), GlobalStatus::Active, 0);
    assert_eq!(due().await, HashSet::from([late.clone(), ("decided".to_owned(), GlobalStatus::Committing, 0)]));
    assert_eq!(store.due(&shift(1, Duration::ZERO)).await.unwrap().len(), 1);
    store.postpone("decided", MINUTE).await.unwrap();
    assert_eq!(due().await, HashSet::from([late]));
    store.postpone("decided", Duration::ZERO).await.unwrap();
    assert!(due().await.contains(&("decided".to_owned(), GlobalStatus::Committing, 2)));
    let all: Vec<_> = store.unfinished().await.unwrap().into_iter().map(|due| due.xid).collect();
    assert_eq!(all.len(), 4);
    for xid in ["open", "late", "decided", "later"] {
        assert!(all.iter().any(|found| found == xid), "{xid}");
    }
}

pub async fn forgets_old_outcomes_but_nothing_open_or_parked(store: Store) {
    for xid in ["open", "over", "parked"] {
        begin(&store, xid).await;
    }
    decide(&store, "over", Decision::Commit).await;
    register(&store, "parked", 1, &["a"]).await;
    decide(&store, "parked", ROLLBACK).await;
    settle(&store, "parked", &[(1, BranchStatus::Parked)]).await;
    assert_eq!(store.purge(MINUTE).await.unwrap(), 0);
    assert_eq!(store.purge(Duration::ZERO).await.unwrap(), 1);
    assert!(store.find("over").await.unwrap().is_none());
    assert!(store.find("open").await.unwrap().is_some() && store.find("parked").await.unwrap().is_some());
}

pub async fn thirty_two_registrations_of_one_row_have_one_winner(store: Store) {
    let mut tasks = Vec::new();
    for number in 0..32 {
        let xid = format!("x{number}");
        begin(&store, &xid).await;
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            // Each also takes a row of its own, on either side of the shared one.
            let own = format!("own{number}");
            register(&store, &xid, 1, &["hot", &own]).await == Registration::Registered
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(held(&store).await.len(), 2, "the losers hold nothing");
}

pub async fn a_decision_races_registrations_and_loses_none(store: Store) {
    begin(&store, "x").await;
    let mut tasks = Vec::new();
    for number in 0..32 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            if number == 16 {
                decide(&store, "x", ROLLBACK).await;
                return None;
            }
            let key = format!("k{number}");
            (register(&store, "x", number, &[&key]).await == Registration::Registered).then_some(number)
        }));
    }
    let mut registered = BTreeSet::new();
    for task in tasks {
        registered.extend(task.await.unwrap());
    }
    let listed: BTreeSet<_> = store.branches("x").await.unwrap().into_iter().map(|branch| branch.branch_id).collect();
    let status = store.find("x").await.unwrap().unwrap().status;
    assert_eq!(registered, listed, "whoever heard yes will be undone, and nobody else");
    let expected = if registered.is_empty() { GlobalStatus::RolledBack } else { GlobalStatus::RollingBack };
    assert_eq!(status, expected);
}

pub async fn awkward_texts_come_back(store: Store) {
    let name = "Bestellung für 🦀; 'quoted' ";
    store.begin("x", name, MINUTE).await.unwrap();
    let mut branch = branch("x", i64::MAX, &["a^^^b,c;d:e", "ü ", "Ü ", "ü"]);
    branch.resource_id = "jdbc:x://host/ü?a=b".to_owned();
    assert_eq!(store.register(&branch).await.unwrap(), Registration::Registered);
    let shown = store.transactions(&TransactionFilter::default()).await.unwrap();
    assert_eq!(
        (shown[0].name.as_str(), shown[0].branches[0].resource_id.as_str()),
        (name, branch.resource_id.as_str())
    );
    let keys: BTreeSet<_> = store.locks().await.unwrap().into_iter().map(|lock| lock.key).collect();
    assert_eq!(keys, branch.locks.into_iter().map(|lock| lock.key).collect());
}
