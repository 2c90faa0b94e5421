//! Tables that are watched for writers who take no lock.

use std::sync::Arc;

use futures_util::future::join_all;
use onceward_dtx::{AtOptions, AtTransaction, DtxError, Options, RepairAction, Watch};
use onceward_reliable_mq::{Message, Outbox};
use sqlx::{AssertSqlSafe, Executor};

use crate::disk::{Db, WRITES};
use crate::world::{World, add};

async fn run(world: &World, texts: &[&'static str], fails: bool) -> Result<(), DtxError> {
    let work = async |_| {
        for text in texts {
            world.at[0]
                .branch(async |mut tx: AtTransaction<Db>| {
                    tx.execute(*text).await?;
                    Ok::<_, DtxError>(())
                })
                .await?;
        }
        if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
    };
    world.dtx.run(Options::new("branches"), work).await
}

/// What the watch of the first database has found.
async fn found(world: &World) -> Vec<String> {
    let writes = world.at[0].bypasses(100).await.unwrap();
    writes.into_iter().map(|write| format!("{} {}", write.operation, write.table.replace("public.", ""))).collect()
}

const OURS: [&str; 4] = [
    "insert into account values (3, 'cat', 1), (4, 'dan', 1)",
    "update account set balance = balance + 1",
    "delete from account where id = 3",
    "update account set owner = 'dora' where id = 4",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_write_from_outside_is_found() {
    let world = World::new().await;
    let at = &world.at[0];
    at.pool().execute("update account set balance = 100").await.unwrap();
    at.watch("account", Watch::Report).await.unwrap();
    for (text, operation) in WRITES {
        at.pool().execute(text).await.unwrap();
        let found_last = found(&world).await.pop();
        assert_eq!(found_last.as_deref(), Some(format!("{operation} account").as_str()), "{text}");
        let seen = at.bypasses(100).await.unwrap();
        assert_eq!(at.forget_bypasses(&seen).await.unwrap(), seen.len() as u64);
        assert_eq!(at.forget_bypasses(&seen).await.unwrap(), 0, "once");
    }
    // By definition: it asks for no lock.
    let mut bypass = at.unprotected().await.unwrap();
    bypass.execute("insert into account values (7, 'gil', 7)").await.unwrap();
    assert!(found(&world).await.is_empty(), "not before its commit");
    bypass.commit().await.unwrap();
    assert_eq!(found(&world).await, ["INSERT account"]);
    // What was rolled back was no write.
    let mut bypass = at.unprotected().await.unwrap();
    bypass.execute("delete from account").await.unwrap();
    bypass.rollback().await.unwrap();
    at.pool().execute("update account set balance = 1").await.unwrap();
    assert_eq!(found(&world).await, ["INSERT account", "UPDATE account"]);
    let first = at.bypasses(1).await.unwrap();
    assert_eq!(first.len(), 1, "as many as were asked for");
    assert_eq!(at.forget_bypasses(&first).await.unwrap(), 1);
    assert_eq!(found(&world).await, ["UPDATE account"]);
    at.unwatch("account").await.unwrap();
    at.pool().execute("insert into account values (8, 'hal', 8)").await.unwrap();
    assert_eq!(found(&world).await, ["UPDATE account"], "what was found before stays");
}

/// All that may go through AT, on a table whose watch refuses or reports.
async fn ours(mode: Watch) {
    let world = World::new().await;
    let _worker = world.worker();
    let at = &world.at[0];
    at.watch("account", mode).await.unwrap();
    run(&world, &OURS, false).await.unwrap();
    world.quiet().await;
    let outside = world.at[0].pool().execute("update account set balance = balance where id = 1").await;
    assert_eq!(outside.is_err(), mode == Watch::Refuse, "nothing of theirs lets others pass");
    let seen = at.bypasses(9).await.unwrap();
    assert_eq!(seen.len(), usize::from(mode == Watch::Report));
    at.forget_bypasses(&seen).await.unwrap();
    let accounts = async |world: &World| -> Vec<(i64, String, i64)> {
        sqlx::query_as("select id, owner, balance from account order by id")
            .fetch_all(world.at[0].pool())
            .await
            .unwrap()
    };
    let before = accounts(&world).await;
    assert!(matches!(run(&world, &OURS[1..], true).await, Err(DtxError::NoTransaction)));
    assert!(matches!(
        run(&world, &["insert into account values (9, 'ida', 9)"], true).await,
        Err(DtxError::NoTransaction)
    ));
    assert_eq!(accounts(&world).await, before, "undone");
    let local = async |mut tx: AtTransaction<Db>| {
        // The first write of the transaction stands in a part that is taken back, and with it what lets it pass.
        let mut part = tx.savepoint().await?;
        part.execute("update account set balance = 0").await?;
        part.rollback().await?;
        tx.execute("update account set balance = balance + 5 where id = 2").await?;
        let mut part = tx.savepoint().await?;
        part.execute("update account set balance = balance + 5 where id = 2").await?;
        drop(part);
        tx.execute("update account set balance = balance + 5 where id = 2").await?;
        Ok::<_, DtxError>(())
    };
    at.local(local).await.unwrap();
    world.dtx.run(Options::new("parts"), async |_| world.at[0].branch(local).await).await.unwrap();
    let by_hand = world.dtx.run(Options::new("by hand"), async |_| {
        let mut tx = world.at[0].begin().await?;
        tx.execute("update account set balance = balance + 1 where id = 2").await?;
        tx.commit().await?;
        let mut dropped = world.at[0].begin().await?;
        dropped.execute("delete from account").await?;
        Ok::<_, DtxError>(())
    });
    by_hand.await.unwrap();
    assert_eq!(found(&world).await, [""; 0]);
    assert_eq!(world.balance(0, 2).await, Some(122));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_through_at_is_not_reported() {
    ours(Watch::Report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_through_at_is_not_refused() {
    ours(Watch::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_undoes_and_a_person_repairs_past_the_watch() {
    let world = World::new().await;
    // Left undecided by a process that dies.
    let dies = world.dtx.begin(Options::new("dies")).await.unwrap();
    dies.scope(add(&world.at[0], 7)).await.unwrap();
    std::mem::forget(dies);
    world.at[0].watch("account", Watch::Refuse).await.unwrap();
    let world = world.restart().await;
    world.dtx.recover().await.unwrap();
    assert_eq!(world.balance(0, 1).await, Some(100));
    let at = &world.at[0];
    let refused = at.pool().execute("update account set balance = 5 where id = 1").await;
    assert!(refused.is_err(), "nothing of the undo lets others pass");
    let meddled = world.dtx.run(Options::new("meddled with"), async |_| {
        add(at, 7).await?;
        at.unwatch("account").await?;
        at.pool().execute("update account set balance = 5 where id = 1").await?;
        at.watch("account", Watch::Refuse).await?;
        Err::<(), _>(DtxError::NoTransaction)
    });
    let meddled = meddled.await;
    assert!(matches!(meddled, Err(DtxError::Parked { .. })), "{meddled:?}");
    let parked = world.dtx.parked().await.unwrap();
    let shown = world.dtx.inspect(&parked[0]).await.unwrap().unwrap();
    let repair = shown.repair(RepairAction::Restore, "ann");
    world.dtx.repair(&repair.clone().as_dry_run()).await.unwrap();
    world.dtx.repair(&repair).await.unwrap();
    assert_eq!(world.balance(0, 1).await, Some(100));
    let refused = at.pool().execute("update account set balance = 5 where id = 1").await;
    assert!(refused.is_err(), "after all that, as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_holds_messages_passes() {
    let disk = World::new().await.disk;
    let outbox = Outbox::<Db>::new(disk.pool("orders").await);
    outbox.migrate().await.unwrap();
    let participant = outbox.clone();
    let world = World::open(disk, || AtOptions::default().with_participant(Arc::new(participant.clone()))).await;
    let _worker = world.worker();
    world.at[0].watch("account", Watch::Refuse).await.unwrap();
    for fails in [false, true] {
        let run = world.dtx.run(Options::new("holds"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    let message = Message::to("orders.confirmed").text("7").unwrap();
                    outbox.enqueue(&mut tx, &message).await.unwrap();
                    tx.execute("update account set balance = balance + 1 where id = 1").await?;
                    Ok::<_, DtxError>(())
                })
                .await?;
            if fails { Err(DtxError::NoTransaction) } else { Ok(()) }
        });
        assert_eq!(run.await.is_err(), fails);
        world.quiet().await;
    }
    assert_eq!(world.balance(0, 1).await, Some(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_changes_nothing_and_hears_what_to_do() {
    let world = World::new().await;
    let at = &world.at[0];
    at.watch("account", Watch::Refuse).await.unwrap();
    for text in [
        "insert into account values (5, 'eve', 1)",
        "update account set balance = 0",
        "delete from account where id = 1",
    ] {
        let refused = at.pool().execute(text).await.unwrap_err().to_string();
        assert!(refused.contains("account past the row locks"), "{text}: {refused}");
    }
    let mut bypass = at.unprotected().await.unwrap();
    assert!(bypass.execute("delete from account").await.is_err());
    bypass.rollback().await.unwrap();
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(100), Some(100)));
    run(&world, &["update account set balance = balance + 1"], false).await.unwrap();
    assert_eq!(found(&world).await, [""; 0], "nothing was written past the locks");
    at.watch("account", Watch::Report).await.unwrap();
    at.pool().execute("update account set balance = 7").await.unwrap();
    assert_eq!(found(&world).await, ["UPDATE account"], "the other mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn installing_is_the_same_by_many_and_again() {
    let world = World::new().await;
    let other = World::open(Arc::clone(&world.disk), AtOptions::default).await;
    let watch = async |n: usize| {
        let at = if n.is_multiple_of(2) { &world.at[0] } else { &other.at[0] };
        let mode = if n < 4 { Watch::Report } else { Watch::Refuse };
        at.watch("account", mode).await
    };
    for installed in join_all((0..8).map(watch)).await {
        installed.unwrap();
    }
    let watched = world.at[0].watched().await.unwrap();
    assert_eq!(watched.len(), 1, "one of the two modes, on one table: {watched:?}");
    for mode in [Watch::Refuse, Watch::Report, Watch::Report] {
        other.at[0].watch("account", mode).await.unwrap();
        let watched = world.at[0].watched().await.unwrap();
        assert!(watched.len() == 1 && watched[0].1 == mode && watched[0].0.ends_with("account"), "{watched:?}");
    }
    for installed in join_all((0..8).map(async |_| world.at[0].unwatch("account").await)).await {
        installed.unwrap();
    }
    assert!(other.at[0].watched().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused_and_names_are_quoted() {
    let world = World::new().await;
    let at = &world.at[0];
    at.pool().execute("create table bare (a integer)").await.unwrap();
    let quoted = r#""It's ""so""; drop table account""#;
    let make = format!("create table {quoted} (id bigint primary key, n bigint)");
    at.pool().execute(AssertSqlSafe(make)).await.unwrap();
    for (table, why) in [("nowhere", "unknown table"), ("bare", "no primary key"), ("dtx_bypass", "bookkeeping")] {
        let refused = at.watch(table, Watch::Report).await;
        assert!(matches!(&refused, Err(DtxError::Refused { part, .. }) if part.contains(why)), "{refused:?}");
    }
    let unknown = at.unwatch("nowhere").await;
    assert!(matches!(&unknown, Err(DtxError::Refused { .. })), "{unknown:?}");
    at.unwatch("bare").await.unwrap();
    let bare = r#"It's "so"; drop table account"#;
    let named = if crate::disk::LOCKS_ROWS { quoted } else { bare };
    at.watch(named, Watch::Report).await.unwrap();
    let insert = format!("insert into {quoted} values (1, 1)");
    at.pool().execute(AssertSqlSafe(insert)).await.unwrap();
    let seen = at.bypasses(10).await.unwrap();
    assert!(seen.len() == 1 && seen[0].table.contains("drop table account"), "{seen:?}");
    let update = format!("update {quoted} set n = 2");
    let branch = async |mut tx: AtTransaction<Db>| {
        tx.execute(AssertSqlSafe(update.clone())).await?;
        Ok::<_, DtxError>(())
    };
    world.dtx.run(Options::new("ours"), async |_| world.at[0].branch(branch).await).await.unwrap();
    assert_eq!(at.bypasses(10).await.unwrap().len(), 1);
    at.unwatch(named).await.unwrap();
    assert!(at.watched().await.unwrap().is_empty());
}
