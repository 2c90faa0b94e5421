//! What hooks hear, and the little that they can do.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use onceward_dtx::{At, DtxError, DtxOptions, Global, GlobalStatus, Options, Reason, TransactionHook, context};

use crate::disk::Db;
use crate::world::{World, add, rename};

type Heard = Arc<Mutex<Vec<String>>>;

/// Notes what it hears; asked before a commit, it makes a branch or says no, if it was told to.
#[derive(Clone, Debug, Default)]
struct Listener {
    name: &'static str,
    heard: Heard,
    branch: Arc<Mutex<Option<At<Db>>>>,
    refuses: bool,
}

impl Listener {
    fn note(&self, what: &str) {
        let inside = if context::current().is_some() { " inside" } else { "" };
        self.heard.lock().unwrap().push(format!("{} {what}{inside}", self.name));
    }
}

#[async_trait]
impl TransactionHook for Listener {
    async fn begun(&self, transaction: &Global) {
        self.note(&format!("begun {}", transaction.name()));
    }

    async fn before_commit(&self, _: &Global) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.note("before commit");
        let branch = self.branch.lock().unwrap().clone();
        if let Some(at) = branch {
            add(&at, 1000).await?;
        }
        if self.refuses { Err("closed on sundays".into()) } else { Ok(()) }
    }

    async fn committed(&self, _: &Global) {
        self.note("committed");
    }

    async fn before_rollback(&self, _: &Global, reason: Reason) {
        self.note(&format!("before rollback, {reason}"));
    }

    async fn rolled_back(&self, _: &Global) {
        self.note("rolled back");
    }

    async fn alert(&self, _: &Global, status: Option<GlobalStatus>) {
        self.note(&format!("alert {status:?}"));
    }
}

async fn told(first: Listener, second: Listener) -> World {
    World::told(DtxOptions::default().with_hook(Arc::new(first)).with_hook(Arc::new(second))).await
}

fn pair(refuses: bool) -> (Listener, Listener, Heard) {
    let heard = Heard::default();
    let first = Listener { name: "a", heard: Arc::clone(&heard), ..Listener::default() };
    let second = Listener { name: "b", heard: Arc::clone(&heard), refuses, ..Listener::default() };
    (first, second, heard)
}

fn take(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut *heard.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn they_hear_in_turn_what_becomes_of_it() {
    let (a, b, heard) = pair(false);
    let world = told(a, b).await;
    world.dtx.run(Options::new("good"), async |_| add(&world.at[0], 7).await).await.unwrap();
    let good = ["a begun good inside", "b begun good inside", "a before commit inside", "b before commit inside"];
    assert_eq!(take(&heard), [&good[..], &["a committed", "b committed"]].concat());

    let bad = world.dtx.run(Options::new("bad"), async |_| {
        // A joined one is no transaction of its own.
        world.dtx.run(Options::new("nested"), async |_| add(&world.at[0], 7).await).await?;
        Err::<(), _>(DtxError::RollbackOnly("on purpose"))
    });
    assert!(bad.await.is_err());
    let begun = ["a begun bad inside", "b begun bad inside"];
    let end = ["a before rollback, it failed", "b before rollback, it failed", "a rolled back", "b rolled back"];
    assert_eq!(take(&heard), [begun.as_slice(), &end].concat());

    let doomed = world.dtx.run(Options::new("doomed"), async |_| {
        let nested = async |_| Err::<(), _>(DtxError::RollbackOnly("on purpose"));
        assert!(world.dtx.run(Options::new("nested"), nested).await.is_err());
        Ok::<_, DtxError>(())
    });
    assert!(doomed.await.is_err());
    assert_eq!(take(&heard)[2], "a before rollback, a nested transaction failed", "nobody is asked in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_may_refuse_the_commit_and_what_hooks_did_is_undone_too() {
    let (a, b, heard) = pair(true);
    let branch = Arc::clone(&a.branch);
    let world = told(a, b).await;
    *branch.lock().unwrap() = Some(world.at[1].clone());
    let answer = world.dtx.run(Options::new("refused"), async |_| add(&world.at[0], 7).await).await;
    let Err(DtxError::Vetoed { source, .. }) = &answer else { panic!("{answer:?}") };
    assert_eq!(source.to_string(), "closed on sundays");
    assert_eq!(world.balances().await, [100; 3]);
    let end = ["a before rollback, it failed", "b before rollback, it failed", "a rolled back", "b rolled back"];
    assert_eq!(take(&heard)[4..], end);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_does_before_the_commit_is_part_of_it() {
    let (a, b, _) = pair(false);
    let branch = Arc::clone(&a.branch);
    let world = told(a, b).await;
    let _worker = world.worker();
    *branch.lock().unwrap() = Some(world.at[1].clone());
    world.dtx.run(Options::new("more"), async |_| add(&world.at[0], 7).await).await.unwrap();
    world.quiet().await;
    assert_eq!(world.balances().await, [107, 1100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_that_refuses_is_the_last_that_is_asked() {
    let (a, b, heard) = pair(true);
    let world = told(b, a).await;
    let answer = world.dtx.run(Options::new("refused"), async |_| add(&world.at[0], 7).await).await;
    assert!(matches!(answer, Err(DtxError::Vetoed { .. })), "{answer:?}");
    assert_eq!(take(&heard)[2..4], ["b before commit inside", "b before rollback, it failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_alerted_when_somebody_has_to_look() {
    let (a, b, heard) = pair(false);
    let world = told(a, b).await;
    let answer = world.dtx.run(Options::new("dirty"), async |_| {
        add(&world.at[0], 7).await?;
        sqlx::query("update account set balance = 5 where id = 1").execute(world.at[0].pool()).await?;
        Err::<(), _>(DtxError::RollbackOnly("on purpose"))
    });
    assert!(matches!(answer.await, Err(DtxError::Parked { .. })));
    assert_eq!(take(&heard)[4..], ["a alert Some(Parked)", "b alert Some(Parked)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_alerted_of_a_rollback_that_takes_longer() {
    let (a, b, heard) = pair(false);
    let world = told(a, b).await;
    let answer = world.dtx.run(Options::new("slow"), async |_| {
        add(&world.at[0], 7).await?;
        rename(world.at[0].pool(), "undo_log", "undo_log_away").await;
        Err::<(), _>(DtxError::RollbackOnly("on purpose"))
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
    assert_eq!(take(&heard)[4..], ["a alert Some(RollingBack)", "b alert Some(RollingBack)"]);
    rename(world.at[0].pool(), "undo_log_away", "undo_log").await;
    let _worker = world.worker();
    world.quiet().await;
    assert_eq!(world.balances().await, [100; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_alerted_of_an_unknown_outcome_and_hear_it_later() {
    let (a, b, heard) = pair(false);
    let world = told(a, b).await;
    let tc = world.disk.pool("tc").await;
    let answer = world.dtx.run(Options::new("unknown"), async |_| {
        add(&world.at[0], 7).await?;
        rename(&tc, "dtx_global", "dtx_global_away").await;
        Ok::<_, DtxError>(())
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(DtxError::OutcomeUnknown { .. })), "{answer:?}");
    assert_eq!(take(&heard)[4..], ["a alert None", "b alert None"]);
    rename(&tc, "dtx_global_away", "dtx_global").await;
    let _worker = world.worker();
    world.quiet().await;
    testkit::eventually(Duration::from_secs(10), async || match &heard.lock().unwrap()[..] {
        [.., a, b] if [a.as_str(), b] == ["a rolled back", "b rolled back"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(world.balances().await, [100; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_hear_of_a_dropped_one_from_the_worker() {
    let (a, b, heard) = pair(false);
    let world = told(a, b).await;
    let transaction = world.dtx.begin(Options::new("dropped")).await.unwrap();
    transaction.scope(add(&world.at[0], 7)).await.unwrap();
    drop(transaction);
    take(&heard);
    let _worker = world.worker();
    testkit::eventually(Duration::from_secs(10), async || match heard.lock().unwrap().len() {
        4 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let reason = "it was dropped or panicked";
    let before = [format!("a before rollback, {reason}"), format!("b before rollback, {reason}")];
    assert_eq!(take(&heard), [&before[..], &["a rolled back".to_owned(), "b rolled back".to_owned()]].concat());
    assert_eq!(world.balances().await, [100; 3]);
}
