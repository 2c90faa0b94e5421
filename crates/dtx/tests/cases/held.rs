//! Messages of an undecided transaction are held back; the end of their branch lets them go or forgets them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use onceward_backend::{Conn, Hold};
use onceward_dtx::{At, AtOptions, BranchParticipant, DtxError, Options};
use onceward_reliable_mq::{Message, Outbox};
use sqlx::Database;
use tokio::sync::Notify;

use crate::disk::{Db, Disk};
use crate::world::World;

type Connection = <Db as Database>::Connection;

/// Notes what it hears in the table `heard`, in the transaction that tells it.
#[derive(Debug)]
struct Listener;

async fn note(conn: &mut Connection, what: &str, xid: &str, hold_id: &str) -> Result<(), DtxError> {
    let text = "insert into heard (what, xid, hold_id) values ($1, $2, $3)";
    sqlx::query(text).bind(what).bind(xid).bind(hold_id).execute(conn).await?;
    Ok(())
}

#[async_trait]
impl BranchParticipant<Db> for Listener {
    async fn on_commit(&self, conn: &mut Connection, xid: &str, hold_id: &str) -> Result<(), DtxError> {
        note(conn, "commit", xid, hold_id).await
    }

    async fn on_rollback(&self, conn: &mut Connection, xid: &str, hold_id: &str) -> Result<(), DtxError> {
        note(conn, "rollback", xid, hold_id).await
    }
}

async fn world() -> World {
    let world =
        World::open(World::new().await.disk, || AtOptions::default().with_participant(Arc::new(Listener))).await;
    let table = "create table if not exists heard (what text, xid text, hold_id text)";
    sqlx::query(table).execute(world.at[0].pool()).await.unwrap();
    world
}

async fn heard(world: &World) -> Vec<(String, String, String)> {
    sqlx::query_as("select what, xid, hold_id from heard").fetch_all(world.at[0].pool()).await.unwrap()
}

/// A branch that holds and changes nothing else.
async fn hold(world: &World, fail: bool) -> Result<Hold, DtxError> {
    let mut held = None;
    let answer = world
        .dtx
        .run(Options::new("holds"), async |global| {
            let mut tx = world.at[0].begin().await?;
            let hold = tx.hold().unwrap();
            assert_eq!((hold.xid.as_str(), &hold), (global.xid(), &tx.hold().unwrap()), "one per branch");
            held = Some(hold);
            tx.commit().await?;
            assert_eq!(world.dtx.undo_rows().await?.len(), 1, "it registers, with an undo record of no rows");
            if fail { Err(DtxError::NoTransaction) } else { Ok(()) }
        })
        .await;
    answer.map(|()| held.clone().unwrap()).or_else(|error| match error {
        DtxError::NoTransaction => Ok(held.unwrap()),
        other => Err(other),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_told_once_also_after_a_crash() {
    let world = world().await;
    let hold = hold(&world, false).await.unwrap();
    assert!(heard(&world).await.is_empty(), "decided, not told yet");
    let disk = Arc::clone(&world.disk);
    drop(world);
    let world = World::open(disk, || AtOptions::default().with_participant(Arc::new(Listener))).await;
    world.dtx.recover().await.unwrap();
    world.dtx.recover().await.unwrap();
    world.quiet().await;
    assert_eq!(heard(&world).await, [("commit".to_owned(), hold.xid, hold.hold_id)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_told_before_run_answers() {
    let world = world().await;
    let hold = hold(&world, true).await.unwrap();
    assert_eq!(heard(&world).await, [("rollback".to_owned(), hold.xid, hold.hold_id)]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_participant_the_end_of_a_branch_waits() {
    for fail in [false, true] {
        let world = world().await;
        let (mut xid, held) = (String::new(), Notify::new());
        let run = world.dtx.run(Options::new("holds"), async |global| {
            xid = global.xid().to_owned();
            let mut tx = world.at[0].begin().await?;
            tx.hold();
            tx.commit().await?;
            held.notify_one();
            if fail { std::future::pending().await } else { Ok::<_, DtxError>(()) }
        });
        if fail {
            tokio::select! {
                _ = run => unreachable!("it waits for ever"),
                () = held.notified() => {}
            }
        } else {
            run.await.unwrap();
        }
        let disk = Arc::clone(&world.disk);
        drop(world);
        let alone = World::open(Arc::clone(&disk), AtOptions::default).await;
        assert_eq!(alone.dtx.recover().await.unwrap().pending, 1, "nobody there could end what is held");
        assert_eq!(alone.dtx.undo_rows().await.unwrap().len(), 1);
        drop(alone);
        let world = World::open(disk, || AtOptions::default().with_participant(Arc::new(Listener))).await;
        world.dtx.recover().await.unwrap();
        world.quiet().await;
        let told: Vec<_> = heard(&world).await.into_iter().map(|(what, told, _)| (what, told)).collect();
        assert_eq!(told, [(if fail { "rollback" } else { "commit" }.to_owned(), xid)]);
    }
}

/// Cannot, the first time.
#[derive(Debug, Default)]
struct Reluctant(AtomicBool);

#[async_trait]
impl BranchParticipant<Db> for Reluctant {
    async fn on_commit(&self, _: &mut Connection, _: &str, _: &str) -> Result<(), DtxError> {
        if self.0.swap(true, Ordering::SeqCst) { Ok(()) } else { Err(DtxError::Participant("not now".into())) }
    }

    async fn on_rollback(&self, _: &mut Connection, _: &str, _: &str) -> Result<(), DtxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_fails_is_told_again_and_nobody_twice() {
    let disk = world().await.disk;
    let reluctant = Arc::new(Reluctant::default());
    let world = World::open(disk, || {
        let options = AtOptions::default().with_participant(Arc::new(Listener));
        options.with_participant(Arc::<Reluctant>::clone(&reluctant))
    })
    .await;
    hold(&world, false).await.unwrap();
    let _worker = world.worker();
    world.quiet().await;
    assert!(reluctant.0.load(Ordering::SeqCst));
    assert_eq!(heard(&world).await.len(), 1, "the first attempt was rolled back whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_publishes_after_a_commit_only() {
    let disk = Arc::new(Disk::new().await);
    let pool = disk.pool("shop").await;
    let outbox = Outbox::<Db>::new(pool.clone());
    outbox.migrate().await.unwrap();
    let world = World::open(disk, AtOptions::default).await;
    let options = AtOptions::default().with_participant(Arc::new(outbox.clone()));
    let at = At::<Db>::new("shop", pool, &world.dtx, options).await.unwrap();
    let enqueue = async |fail: bool| {
        world
            .dtx
            .run(Options::new("enqueue"), async |_| {
                at.branch(async |mut tx| {
                    let message = Message::to("orders.confirmed").text("7").map_err(other)?;
                    outbox.enqueue(&mut tx, &message).await.map_err(other)?;
                    Ok::<_, DtxError>(())
                })
                .await?;
                let counts = outbox.store().counts().await.map_err(other)?;
                assert_eq!((counts.hot, counts.held), (0, 1), "held while undecided");
                if fail { Err(DtxError::NoTransaction) } else { Ok(()) }
            })
            .await
    };
    assert!(matches!(enqueue(true).await, Err(DtxError::NoTransaction)));
    let counts = outbox.store().counts().await.unwrap();
    assert_eq!((counts.hot, counts.held), (0, 0));
    enqueue(false).await.unwrap();
    let _worker = world.worker();
    world.quiet().await;
    let counts = outbox.store().counts().await.unwrap();
    assert_eq!((counts.hot, counts.held), (1, 0));
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> DtxError {
    DtxError::Participant(Box::new(error))
}
