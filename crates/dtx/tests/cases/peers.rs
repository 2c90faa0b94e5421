//! Several coordinators over one store, as in several processes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onceward_dtx::rm::{Resource, Undone};
use onceward_dtx::{AtOptions, DtxError, GlobalStatus, NewBranch, Options, Reason, TcOptions, async_trait};
use testkit::{Rng, eventually};
use tokio::sync::Notify;

use crate::world::{World, add};

const LEASE: Duration = Duration::from_millis(800);

/// Another process on the databases of `world`.
async fn peer(world: &World, lease: Duration) -> World {
    World::coordinated(Arc::clone(&world.disk), TcOptions::default().with_peers(lease), AtOptions::default).await
}

/// Two processes that know of each other.
async fn two(lease: Duration) -> [World; 2] {
    let world = World::new().await;
    [peer(&world, lease).await, peer(&world, lease).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_starts_leaves_the_open_transactions_of_another_alone() {
    for lease in [LEASE, Duration::ZERO] {
        let [one, other] = two(lease).await;
        let _workers = [one.worker(), other.worker()];
        one.dtx
            .run(Options::new("open"), async |global| {
                add(&one.at[0], 1).await?;
                assert_eq!(other.dtx.recover().await?.rolled_back, 0);
                tokio::time::sleep(LEASE * 2).await;
                assert_eq!(other.dtx.status(global.xid()).await?, Some(GlobalStatus::Active));
                add(&one.at[1], 1).await
            })
            .await
            .unwrap();
        one.quiet().await;
        assert_eq!(one.balances().await, [101, 101, 100]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_one_left_open_is_rolled_back_by_another() {
    let [one, other] = two(LEASE).await;
    let _worker = other.worker();
    let (open, xid) = (Notify::new(), std::sync::Mutex::new(String::new()));
    let run = one.dtx.run(Options::new("dies").with_timeout(Duration::from_secs(600)), async |global| {
        add(&one.at[0], 1).await?;
        global.xid().clone_into(&mut xid.lock().unwrap());
        open.notify_one();
        std::future::pending::<Result<(), DtxError>>().await
    });
    tokio::select! {
        _ = run => panic!("it never ends"),
        () = open.notified() => {}
    }
    // Dead: its worker is not there, and nobody says that it lives.
    let xid = xid.into_inner().unwrap();
    eventually(Duration::from_secs(20), async || match other.dtx.status(&xid).await {
        Ok(Some(GlobalStatus::RolledBack)) => Ok(()),
        status => Err(format!("{status:?}")),
    })
    .await;
    assert_eq!(other.dtx.coordinator().reason(&xid).await.unwrap(), Some(Reason::Recovered));
    assert_eq!(other.balances().await, [100, 100, 100]);
    // It was only asleep: what it does now is refused.
    let late = NewBranch { xid: xid.clone(), branch_id: 7, resource_id: "orders".to_owned(), locks: Vec::new() };
    let refused = one.dtx.coordinator().register(&late).await.unwrap_err();
    assert!(matches!(refused, DtxError::Ended { status: Some(GlobalStatus::RolledBack), .. }), "{refused:?}");
    assert_eq!(one.dtx.coordinator().commit(&xid).await.unwrap(), GlobalStatus::RolledBack);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_at_one_wakes_a_waiter_at_another() {
    let [one, other] = two(LEASE).await;
    let _workers = [one.worker(), other.worker()];
    let locked = Notify::new();
    let holder = async {
        let run = one.dtx.run(Options::new("holder"), async |_| {
            add(&one.at[0], 1).await?;
            locked.notify_one();
            one.waiting(1).await;
            Ok::<_, DtxError>(())
        });
        run.await.unwrap();
        Instant::now()
    };
    let waiter = async {
        locked.notified().await;
        other.dtx.run(Options::new("waiter"), async |_| add(&other.at[0], 10).await).await.unwrap();
        Instant::now()
    };
    let (decided, done) = tokio::join!(holder, waiter);
    println!("woken, run again and committed {:?} after the decision", done.saturating_duration_since(decided));
    assert!(done.saturating_duration_since(decided) < Duration::from_secs(5), "not the lock time-out");
    assert_eq!(one.balance(0, 1).await, Some(111));
    one.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_across_two_coordinators_ends_at_once() {
    let [one, other] = two(LEASE).await;
    let _workers = [one.worker(), other.worker()];
    let both = tokio::sync::Barrier::new(2);
    let cross = async |world: &World, first: usize, second: usize| {
        let work = async |_| {
            add(&world.at[first], 1).await?;
            both.wait().await;
            add(&world.at[second], 1).await
        };
        world.dtx.run(Options::new("cross"), work).await
    };
    let began = Instant::now();
    let answers = tokio::join!(cross(&one, 0, 1), cross(&other, 1, 0));
    let victims =
        [&answers.0, &answers.1].into_iter().filter(|answer| matches!(answer, Err(DtxError::Deadlock { .. })));
    assert_eq!(victims.count(), 1, "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "not the lock time-out");
    assert_eq!((one.balance(0, 1).await, one.balance(1, 1).await), (Some(101), Some(101)));
    one.quiet().await;
}

/// Also with leases switched off, where each does all work: nothing rests on who does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_do_the_same_work_conserve_the_sum() {
    for lease in [LEASE, Duration::ZERO] {
        let worlds = two(lease).await.map(Arc::new);
        let workers = worlds.each_ref().map(|world| world.worker());
        let mut seeds = Rng::new(testkit::seed());
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (world, mut rng) = (Arc::clone(&worlds[task % 2]), seeds.fork());
                tokio::spawn(async move {
                    let mut moved = 0;
                    while moved < 5 {
                        let (from, fails) = (usize::try_from(rng.below(3)).unwrap(), rng.chance(0.3));
                        let transfer = world.dtx.run(Options::new("transfer"), async |_| {
                            add(&world.at[from], -1).await?;
                            add(&world.at[(from + 1) % 3], 1).await?;
                            if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
                        });
                        match transfer.await {
                            Ok(()) => moved += 1,
                            Err(DtxError::NoTransaction | DtxError::RollbackInProgress { .. }) => {}
                            Err(error) if error.is_retryable() => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        worlds[0].quiet().await;
        assert_eq!(worlds[0].balances().await.iter().sum::<i64>(), 300);
        assert!(worlds[0].dtx.parked().await.unwrap().is_empty() && worlds[0].dtx.waiters().await.unwrap().is_empty());
        drop(workers);
    }
}

/// A database that takes calls and never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Resource for Silent {
    fn id(&self) -> &str {
        "silent"
    }

    async fn commit(&self, _: &str, _: i64) -> Result<(), DtxError> {
        std::future::pending().await
    }

    async fn commit_together(&self, _: &[(&str, i64)]) -> Result<BTreeSet<(String, i64)>, DtxError> {
        std::future::pending().await
    }

    async fn rollback(&self, _: &str, _: i64) -> Result<Undone, DtxError> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_never_answers_keeps_no_other_transaction_waiting() {
    let world = World::new().await;
    world.dtx.resources().add(Arc::new(Silent)).unwrap();
    let coordinator = Arc::clone(world.dtx.coordinator());
    let branch = |xid: &str, branch_id| {
        let (xid, resource_id) = (xid.to_owned(), "silent".to_owned());
        NewBranch { xid, branch_id, resource_id, locks: Vec::new() }
    };
    for number in 0..40 {
        let xid =
            coordinator.begin("hangs", Duration::from_millis(if number % 2 == 0 { 1 } else { 60_000 })).await.unwrap();
        // Half of them pass their deadline, half are committed.
        coordinator.register(&branch(&xid, 1)).await.ok();
        if number % 2 == 1 {
            coordinator.commit(&xid).await.unwrap();
        }
    }
    let _worker = world.worker();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    for _ in 0..5 {
        world.dtx.run(Options::new("others"), async |_| add(&world.at[0], 1).await).await.unwrap();
    }
    let late = coordinator.begin("deadline", Duration::from_millis(50)).await.unwrap();
    eventually(Duration::from_secs(20), async || {
        let undo = world.dtx.undo_rows().await.map_err(|error| error.to_string())?;
        let late = world.dtx.status(&late).await.map_err(|error| error.to_string())?;
        if undo.is_empty() && late == Some(GlobalStatus::RolledBack) {
            Ok(())
        } else {
            Err(format!("{undo:?} {late:?}"))
        }
    })
    .await;
    println!("the others ended after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "before the first call was given up");
}
