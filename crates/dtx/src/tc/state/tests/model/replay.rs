//! The coordinator of the model against the stores: the same steps, the same state.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::coordinator::{decide, register, settle};
use super::rules::Rules;
use super::world::{Shape, World, each};
use crate::coordinator::NewBranch;
use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, Decision, GlobalStatus, Reason, is_overdue};
use crate::tc::store::memory::MemoryStore;
use crate::tc::store::{Registration, Shift, TcStore};

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Step {
    Register(usize),
    Decide(Decision),
    Settle(Option<(usize, BranchStatus)>),
    DeadlinePasses,
}

fn steps(shape: &Shape, with_deadline: bool) -> Vec<Step> {
    let branches = 0..shape.branches.len();
    let settled = branches.clone().flat_map(|at| [BranchStatus::Done, BranchStatus::Parked].map(|end| Some((at, end))));
    let mut steps: Vec<_> = branches.map(Step::Register).collect();
    steps.extend([Decision::Commit, Decision::Rollback(Reason::Failed)].map(Step::Decide));
    steps.extend(settled.chain([None]).map(Step::Settle));
    steps.extend(with_deadline.then_some(Step::DeadlinePasses));
    steps
}

/// Takes a step in the model; for a registration, whether it is accepted.
fn take(world: &mut World, shape: &Shape, step: Step) -> bool {
    let rules = Rules(None);
    match step {
        Step::Register(branch) => return register(world, rules, shape, branch),
        Step::Decide(decision) => decide(world, rules, decision),
        Step::Settle(end) => settle(world, rules, shape, end),
        Step::DeadlinePasses => world.overdue = true,
    }
    false
}

/// The shortest way to each world of the coordinator alone.
fn ways(shape: &Shape, steps: &[Step]) -> HashMap<World, Vec<Step>> {
    let start = World { status: Some(GlobalStatus::Active), ..World::START };
    let mut ways = HashMap::from([(start, Vec::new())]);
    let mut open = VecDeque::from([start]);
    while let Some(world) = open.pop_front() {
        for &step in steps {
            let mut next = world;
            take(&mut next, shape, step);
            if !ways.contains_key(&next) {
                let way = ways[&world].iter().copied().chain([step]).collect();
                ways.insert(next, way);
                open.push_back(next);
            }
        }
    }
    ways
}

fn id(branch: usize) -> i64 {
    i64::try_from(branch).unwrap() + 1
}

fn new_branch(xid: &str, shape: &Shape, branch: usize) -> NewBranch {
    let key = |row: usize| LockKey { resource_id: "r".to_owned(), table: xid.to_owned(), key: row.to_string() };
    NewBranch {
        xid: xid.to_owned(),
        branch_id: id(branch),
        resource_id: "r".to_owned(),
        locks: each(shape.rows(branch)).map(key).collect(),
    }
}

async fn take_stored(store: &dyn TcStore, xid: &str, shape: &Shape, step: Step) -> bool {
    match step {
        Step::Register(branch) => {
            return store.register(&new_branch(xid, shape, branch)).await.unwrap() == Registration::Registered;
        }
        Step::Decide(decision) => drop(store.decide(xid, decision, Duration::ZERO).await.unwrap()),
        Step::Settle(end) => {
            let ends: Vec<_> = end.into_iter().map(|(branch, status)| (id(branch), status)).collect();
            store.settle(xid, &ends).await.unwrap();
        }
        Step::DeadlinePasses => tokio::time::advance(TIMEOUT).await,
    }
    false
}

/// The state, the branches in order, and the locked rows, as bits.
type Kept = (Option<GlobalStatus>, Vec<(i64, BranchStatus)>, u8);

async fn kept(store: &dyn TcStore, xid: &str) -> Kept {
    let status = store.find(xid).await.unwrap().map(|standing| standing.status);
    let branches = store.branches(xid).await.unwrap().into_iter().map(|info| (info.branch_id, info.status)).collect();
    let locks = store.locks().await.unwrap().into_iter().filter(|lock| lock.xid == xid);
    (status, branches, locks.fold(0, |rows, lock| rows | 1 << lock.key.parse::<usize>().unwrap()))
}

/// Whether the worker has something to do: a decision of its own, or a second phase.
fn is_due(world: &World) -> bool {
    let decided = |status: GlobalStatus| status != GlobalStatus::Active && !status.is_over();
    world.status.is_some_and(|status| decided(status) || is_overdue(status, !world.overdue))
}

/// Takes each step in each world that the coordinator can be in, and compares.
async fn agrees(store: &dyn TcStore, shape: &Shape, with_deadline: bool) {
    let shift = Shift { limit: 1, claim: Duration::ZERO, longest: Duration::from_secs(3600), resources: None };
    let steps = steps(shape, with_deadline);
    let mut replayed = 0;
    for (world, way) in ways(shape, &steps) {
        for &step in &steps {
            replayed += 1;
            let xid = format!("x{replayed}");
            store.begin(&xid, "replay", TIMEOUT).await.unwrap();
            for &before in &way {
                take_stored(store, &xid, shape, before).await;
            }
            let mut next = world;
            let accepted = take(&mut next, shape, step);
            assert_eq!(take_stored(store, &xid, shape, step).await, accepted, "{way:?} then {step:?}");
            let listed = next.listed().map(|listed| (id(listed.branch), listed.status)).collect();
            assert_eq!(kept(store, &xid).await, (next.status, listed, next.locks), "{way:?} then {step:?}");
            let due = store.due(&shift).await.unwrap().iter().any(|due| due.xid == xid);
            assert_eq!(due, is_due(&next), "{way:?} then {step:?}");
            // Nothing of it stays in the way of the next.
            store.decide(&xid, Decision::Rollback(Reason::Failed), Duration::ZERO).await.unwrap();
            let ends: Vec<_> = (0..shape.branches.len()).map(|branch| (id(branch), BranchStatus::Done)).collect();
            store.settle(&xid, &ends).await.unwrap();
        }
    }
    println!("{:?}: {replayed} replays", shape.branches);
}

/// Two branches that share a row; when soaked, a third.
fn shape() -> Shape {
    let branches: &[u8] = if testkit::scale() > 1 { &[1, 3, 2] } else { &[1, 3] };
    super::calm(branches, &[3])
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_takes_the_steps_of_the_model() {
    agrees(&MemoryStore::new(), &shape(), true).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn the_sql_store_takes_the_steps_of_the_model() {
    let memory = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let store = crate::tc::store::sql::SqlStore::<sqlx::Sqlite>::new(memory).await.unwrap();
    agrees(&store, &shape(), false).await;
}
