//! Whose turn it is: transactions that wait for rows, and those that wait in a circle.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::tc::state::Decision;
use onceward_dtx::tc::store::{NewWaiter, TcStore};
use onceward_dtx::{At, DtxError, NewBranch, Options, TransactionFilter};
use tokio::sync::{Barrier, Notify};

use crate::disk::Db;
use crate::world::{World, add};

async fn set_owner(at: &At<Db>, id: i64, owner: &str) -> Result<(), DtxError> {
    at.branch(async |mut tx| {
        sqlx::query("update account set owner = $1 where id = $2").bind(owner).bind(id).execute(&mut *tx).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_wait_for_each_other_end_with_one_at_once() {
    let world = World::new().await;
    let _worker = world.worker();
    let both = Barrier::new(2);
    let cross = async |first: usize, second: usize| {
        world
            .dtx
            .run(Options::new("cross"), async |_| {
                add(&world.at[first], 1).await?;
                both.wait().await;
                add(&world.at[second], 1).await
            })
            .await
    };
    let began = Instant::now();
    let (one, other) = tokio::join!(cross(0, 1), cross(1, 0));
    let victims = [&one, &other].into_iter().filter(|answer| match answer {
        Ok(()) => false,
        Err(error) => matches!(error, DtxError::Deadlock { .. }) && error.is_retryable(),
    });
    assert_eq!(victims.count(), 1, "{one:?} {other:?}");
    assert!(one.is_ok() || other.is_ok());
    assert!(began.elapsed() < Duration::from_secs(5), "not the lock time-out");
    assert_eq!((world.balance(0, 1).await, world.balance(1, 1).await), (Some(101), Some(101)));
    world.quiet().await;
}

/// One holds the global lock and wants the row; the other holds the row and wants the global lock. Waiting with the local
/// transaction open would be a circle that no detector sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_lock_and_a_global_lock_make_no_circle() {
    let world = World::new().await;
    let _worker = world.worker();
    let (holds_lock, holds_row, closed) = (Notify::new(), Notify::new(), OnceLock::new());
    let one = world.dtx.run(Options::new("holds the lock"), async |_| {
        add(&world.at[0], 1).await?;
        holds_lock.notify_one();
        holds_row.notified().await;
        // Waits in the database for the row.
        add(&world.at[0], 10).await
    });
    let other = world.dtx.run(Options::new("holds the row"), async |_| {
        holds_lock.notified().await;
        world.at[0]
            .branch(async |mut tx| {
                sqlx::query("update account set balance = balance + 100 where id = 1").execute(&mut *tx).await?;
                // The second run of the branch has no circle to wait out.
                closed.get_or_init(Instant::now);
                holds_row.notify_one();
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, DtxError>(())
            })
            .await
    });
    let (one, other) = tokio::join!(one, other);
    let began = closed.get().unwrap();
    println!("both committed {:?} after the circle would have closed", began.elapsed());
    one.unwrap();
    other.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "not the lock time-out");
    assert_eq!(world.balance(0, 1).await, Some(211));
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_stands_behind_who_waits() {
    let world = World::new().await;
    let _worker = world.worker();
    let (locked, order) = (Notify::new(), std::sync::Mutex::new(Vec::new()));
    let turn = async |name: &'static str, before: usize| {
        world.waiting(before).await;
        let answer = world
            .dtx
            .run(Options::new(name), async |_| {
                set_owner(&world.at[0], 1, name).await?;
                order.lock().unwrap().push(name);
                Ok::<_, DtxError>(())
            })
            .await;
        answer.unwrap();
    };
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        set_owner(&world.at[0], 1, "holder").await?;
        locked.notify_one();
        world.waiting(3).await;
        Ok::<_, DtxError>(())
    });
    let others = async {
        locked.notified().await;
        tokio::join!(turn("first", 0), turn("second", 1), turn("third", 2));
    };
    let (held, ()) = tokio::join!(holder, others);
    held.unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second", "third"]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_gives_up_stands_in_nobodys_way() {
    let world = World::new().await;
    let _worker = world.worker();
    let (locked, given_up) = (Notify::new(), Notify::new());
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        given_up.notified().await;
        Ok::<_, DtxError>(())
    });
    let impatient = async {
        locked.notified().await;
        let run = world.dtx.run(Options::new("impatient"), async |_| add(&world.at[0], 10).await);
        tokio::select! {
            _ = run => panic!("the row is held"),
            // Given up once the patient one stands behind it.
            () = world.waiting(2) => {}
        }
        given_up.notify_one();
    };
    let patient = async {
        world.waiting(1).await;
        world.dtx.run(Options::new("patient"), async |_| add(&world.at[0], 100).await).await
    };
    let (held, (), passed) = tokio::join!(holder, impatient, patient);
    held.unwrap();
    passed.unwrap();
    world.quiet().await;
    world.waiting(0).await;
    assert_eq!(world.balance(0, 1).await, Some(201));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_writer_takes_its_turn_and_frees_the_row() {
    let world = World::new().await;
    let _worker = world.worker();
    let (locked, runs) = (Notify::new(), AtomicUsize::new(0));
    let holder = world.dtx.run(Options::new("holder"), async |_| {
        add(&world.at[0], 1).await?;
        locked.notify_one();
        world.waiting(2).await;
        Ok::<_, DtxError>(())
    });
    let local = async {
        locked.notified().await;
        world.at[0]
            .local(async |mut tx| {
                runs.fetch_add(1, Ordering::SeqCst);
                sqlx::query("update account set balance = balance * 2 where id = 1").execute(&mut *tx).await?;
                Ok::<_, DtxError>(())
            })
            .await
    };
    let behind = async {
        world.waiting(1).await;
        world.dtx.run(Options::new("behind"), async |_| add(&world.at[0], 1000).await).await
    };
    let (held, local, behind) = tokio::join!(holder, local, behind);
    held.unwrap();
    local.unwrap();
    behind.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(world.balance(0, 1).await, Some(1202), "the local writer was first");
    world.quiet().await;
    assert!(
        world.dtx.transactions(&TransactionFilter::default()).await.unwrap().is_empty(),
        "nothing of the local writer's turn is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_a_dead_process_did_not_serve_is_served() {
    let world = World::new().await;
    let store = world.disk.store().await;
    let minute = Duration::from_secs(60);
    for xid in ["holder", "waiter"] {
        store.begin(xid, "dead", minute).await.unwrap();
    }
    let lock = LockKey { resource_id: "orders".to_owned(), table: "account".to_owned(), key: "1".to_owned() };
    let (xid, resource_id, locks) = ("holder".to_owned(), "orders".to_owned(), vec![lock]);
    store.register(&NewBranch { xid, branch_id: 1, resource_id, locks: locks.clone() }).await.unwrap();
    let [waiter, xid, owner] = ["one", "waiter", "dead"].map(str::to_owned);
    store.enqueue(&NewWaiter { waiter, xid, owner, locks, patience: minute }).await.unwrap();
    let decided = store.decide("holder", Decision::Commit, Duration::ZERO).await.unwrap().unwrap();
    assert!(decided.wanted && world.dtx.waiters().await.unwrap().len() == 1);
    // Here it dies.
    let _worker = world.worker();
    world.waiting(0).await;
}
