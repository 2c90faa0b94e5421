//! What cannot be undone for certain is put aside whole, listed, and left to a person.

use onceward_dtx::rm::Undone;
use onceward_dtx::{DtxError, GlobalStatus, Options, Repair, RepairAction, TransactionFilter};

use crate::disk::DAMAGE;
use crate::world::{World, add};

async fn run_sql(world: &World, at: usize, text: &'static str) {
    sqlx::query(text).execute(world.at[at].pool()).await.unwrap();
}

/// Changes all three databases, lets `meddle` happen to the first, then fails.
async fn rolled_back(world: &World, meddle: &'static str) -> (String, Result<(), DtxError>) {
    let mut xid = String::new();
    let answer = world
        .dtx
        .run(Options::new("meddled with"), async |global| {
            xid = global.xid().to_owned();
            for at in &world.at {
                add(at, 7).await?;
            }
            run_sql(world, 0, meddle).await;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    (xid, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dirty_write_is_parked_with_its_locks_and_the_others_go_on() {
    let world = World::new().await;
    let (xid, answer) = rolled_back(&world, "update account set balance = 5 where id = 1").await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    assert_eq!(world.balances().await, [5, 100, 100], "the outsider's value is not overwritten");
    let parked = world.dtx.parked().await.unwrap();
    assert_eq!((parked.len(), parked[0].resource_id.as_str(), parked[0].xid.as_str()), (1, "orders", xid.as_str()));
    assert!(parked[0].reason.contains("account:1"), "{}", parked[0].reason);
    assert!(!parked[0].reason.contains("107"), "no value in the list");
    let locks = world.dtx.locks().await.unwrap();
    assert_eq!(locks.len(), 1);
    assert!(locks[0].parked && locks[0].resource_id == "orders" && locks[0].key == "1", "{locks:?}");
    world.quiet().await;

    // For ever: neither the worker, nor a restart, nor asking again touches it.
    let branch = parked[0].branch_id;
    let world = world.restart().await;
    let found = world.dtx.recover().await.unwrap();
    assert_eq!((found.pending, found.parked, found.rolled_back), (0, 0, 0));
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Parked));
    let orders = world.dtx.resources().get("orders").unwrap();
    assert_eq!(orders.rollback(&xid, branch).await.unwrap(), Undone::Parked);
    assert_eq!(world.balances().await, [5, 100, 100]);
    let listed = world.dtx.transactions(&TransactionFilter::default()).await.unwrap();
    assert_eq!((listed.len(), listed[0].branches.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_parking_does_not_free_the_row() {
    let world = World::new().await;
    let mut xid = String::new();
    let run = world.dtx.run(Options::new("dies"), async |global| {
        xid = global.xid().to_owned();
        add(&world.at[0], 7).await?;
        run_sql(&world, 0, "update account set balance = 5 where id = 1").await;
        std::future::pending::<()>().await;
        Ok::<_, DtxError>(())
    });
    tokio::select! {
        _ = run => unreachable!("it waits for ever"),
        () = async { while world.balance(0, 1).await != Some(5) { tokio::task::yield_now().await } } => {}
    }
    let branch = world.dtx.transactions(&TransactionFilter::default()).await.unwrap()[0].branches[0].branch_id;
    // The resource has parked it; the process dies before the coordinator hears so.
    let orders = world.dtx.resources().get("orders").unwrap();
    assert_eq!(orders.rollback(&xid, branch).await.unwrap(), Undone::Parked);
    let world = world.restart().await;
    let found = world.dtx.recover().await.unwrap();
    assert_eq!((found.parked, found.rolled_back), (1, 0));
    assert_eq!(world.dtx.locks().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_column_that_the_branch_left_alone_is_kept() {
    let world = World::new().await;
    let (_, answer) = rolled_back(&world, "update account set owner = 'amy' where id = 1").await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    let row: (String, i64) =
        sqlx::query_as("select owner, balance from account where id = 1").fetch_one(world.at[0].pool()).await.unwrap();
    assert_eq!(row, ("amy".to_owned(), 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_the_statement_changed_in_another_row_only_is_kept() {
    let world = World::new().await;
    let rows = "select id, owner, balance from account where id in (1, 2) order by id";
    let before: Vec<(i64, String, i64)> = sqlx::query_as(rows).fetch_all(world.at[0].pool()).await.unwrap();
    let answer = world
        .dtx
        .run(Options::new("either"), async |_| {
            let each = "update account set balance = case id when 1 then 0 else balance end, \
                        owner = case id when 2 then 'bea' else owner end where id in (1, 2)";
            world.at[0]
                .branch(async |mut tx| {
                    sqlx::query(each).execute(&mut *tx).await?;
                    Ok::<_, DtxError>(())
                })
                .await?;
            run_sql(&world, 0, "update account set owner = 'amy' where id = 1").await;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    let after: Vec<(i64, String, i64)> = sqlx::query_as(rows).fetch_all(world.at[0].pool()).await.unwrap();
    assert_eq!(after, [(1, "amy".to_owned(), before[0].2), before[1].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_set_back_already_is_left_alone() {
    let world = World::new().await;
    let (_, answer) = rolled_back(&world, "update account set balance = 100 where id = 1").await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_a_constraint_refuses_is_parked_at_once() {
    let world = World::new().await;
    let at = &world.at[0];
    run_sql(&world, 0, "create table note (id bigint primary key, account bigint references account (id))").await;
    let answer = world
        .dtx
        .run(Options::new("referenced"), async |_| {
            at.branch(async |mut tx| {
                sqlx::query("insert into account values (9, 'new', 0)").execute(&mut *tx).await?;
                sqlx::query("update account set balance = 1 where id = 2").execute(&mut *tx).await?;
                Ok::<_, DtxError>(())
            })
            .await?;
            run_sql(&world, 0, "insert into note values (1, 9)").await;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    assert_eq!((world.balance(0, 2).await, world.balance(0, 9).await), (Some(1), Some(0)), "all or nothing per branch");
    let reason = world.dtx.parked().await.unwrap().remove(0).reason;
    assert!(reason.to_lowercase().contains("foreign key"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changed_its_shape_since_is_parked() {
    for change in [
        "alter table account add column note text",
        "alter table account rename column balance to amount",
        "drop table account",
    ] {
        let world = World::new().await;
        let (_, answer) = rolled_back(&world, change).await;
        assert!(matches!(answer, Err(DtxError::Parked { .. })), "{change}: {answer:?}");
        assert_eq!(world.balance(1, 1).await, Some(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_undo_is_parked_and_a_foreign_one_is_left_to_its_maker() {
    let world = World::new().await;
    let (_, answer) = rolled_back(&world, DAMAGE).await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let world = World::new().await;
    let (_, answer) = rolled_back(&world, "update undo_log set context = 'serializer=jackson'").await;
    assert!(matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
    assert_eq!(world.dtx.undo_rows().await.unwrap().len(), 1, "neither a guard in its place nor removed");
}

/// Runs each list of statements in a branch of its own in the first database, then `meddle`, and fails.
async fn in_turn(world: &World, branches: &[&[&'static str]], meddle: &[&'static str]) -> Result<(), DtxError> {
    let run = world.dtx.run(Options::new("in turn"), async |_| {
        for texts in branches {
            world.at[0]
                .branch(async |mut tx| {
                    for text in *texts {
                        sqlx::query(*text).execute(&mut *tx).await?;
                    }
                    Ok::<_, DtxError>(())
                })
                .await?;
        }
        for text in meddle {
            run_sql(world, 0, text).await;
        }
        Err(DtxError::NoTransaction)
    });
    run.await
}

const NOTE: &str = "create table note (id bigint primary key, account bigint references account (id))";
/// Cannot be undone while there is a note on it.
const NOTED: &str = "insert into account values (9, 'new', 0)";

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_finds_its_row_as_it_left_it_below_parked_ones_is_parked_too() {
    let world = World::new().await;
    run_sql(&world, 0, NOTE).await;
    let (there, back) =
        ("update account set balance = 1 where id = 2", "update account set balance = 100 where id = 2");
    let answer = in_turn(&world, &[&[there], &[back], &[there, NOTED]], &["insert into note values (1, 9)"]).await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let parked = world.dtx.parked().await.unwrap();
    assert_eq!((parked.len(), world.balance(0, 2).await), (3, Some(1)));
    run_sql(&world, 0, "delete from note").await;
    let mut values = Vec::new();
    while let Some(branch) = last_parked(&world).await {
        world.dtx.repair(&branch).await.unwrap();
        values.push(world.balance(0, 2).await.unwrap());
    }
    assert_eq!(values, [100, 1, 100], "the way they came");
}

/// The restoring of the one parked branch that no other has to go before.
async fn last_parked(world: &World) -> Option<Repair> {
    for info in world.dtx.parked().await.unwrap() {
        let restore = world.dtx.inspect(&info).await.unwrap().unwrap().repair(RepairAction::Restore, "ann");
        if world.dtx.repair(&restore.clone().as_dry_run()).await.is_ok() {
            return Some(restore);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_of_other_rows_than_the_parked_ones_go_on() {
    let world = World::new().await;
    run_sql(&world, 0, NOTE).await;
    let answer = in_turn(
        &world,
        &[
            &["update account set balance = 1 where id = 1"],
            &["insert into account values (3, 'eve', 1)"],
            &["update account set balance = 1 where id = 2", NOTED],
        ],
        &["insert into note values (1, 9)", "delete from account where id = 3"],
    )
    .await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let parked = world.dtx.parked().await.unwrap();
    assert_eq!(parked.len(), 1, "neither who finds its row as it left it, nor who finds it undone: {parked:?}");
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(100), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_that_cannot_be_read_may_be_of_any_row() {
    let world = World::new().await;
    let keep = "create table kept as select branch_id, rollback_info from undo_log";
    let mend = "update undo_log set rollback_info = (select rollback_info from kept) \
                where branch_id in (select branch_id from kept)";
    let answer = world
        .dtx
        .run(Options::new("two of them"), async |_| {
            add(&world.at[0], 7).await?;
            run_sql(&world, 0, keep).await;
            in_turn(&world, &[&["update account set balance = 1 where id = 2"]], &[DAMAGE, mend]).await
        })
        .await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    assert_eq!(world.dtx.parked().await.unwrap().len(), 2);
}
