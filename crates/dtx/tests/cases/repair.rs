//! Parked branches are shown and ended as a person decides: once, on what was shown, or not at all.

use onceward_dtx::{
    DtxError, Effect, GlobalStatus, Options, ParkedBranch, Repair, RepairAction, RepairedRow, TransactionFilter,
};

use crate::disk::DAMAGE;
use crate::world::{World, add};

async fn run_sql(world: &World, at: usize, text: &'static str) {
    sqlx::query(text).execute(world.at[at].pool()).await.unwrap();
}

/// A branch of these statements in the first database, beside one in the second, that is parked after what `meddle` did.
async fn parked(world: &World, branch: &[&'static str], meddle: &[&'static str]) -> String {
    let mut xid = String::new();
    let run = world.dtx.run(Options::new("meddled with"), async |global| {
        xid = global.xid().to_owned();
        world.at[0]
            .branch(async |mut tx| {
                for text in branch {
                    sqlx::query(*text).execute(&mut *tx).await?;
                }
                Ok::<_, DtxError>(())
            })
            .await?;
        add(&world.at[1], 7).await?;
        for text in meddle {
            run_sql(world, 0, text).await;
        }
        Err::<(), _>(DtxError::NoTransaction)
    });
    let answer = run.await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    xid
}

async fn inspect(world: &World) -> ParkedBranch {
    let parked = world.dtx.parked().await.unwrap();
    assert_eq!(parked.len(), 1, "{parked:?}");
    world.dtx.inspect(&parked[0]).await.unwrap().unwrap()
}

async fn accounts(world: &World) -> Vec<(i64, String, i64)> {
    sqlx::query_as("select id, owner, balance from account order by id").fetch_all(world.at[0].pool()).await.unwrap()
}

fn account(id: i64, owner: &str, balance: i64) -> (i64, String, i64) {
    (id, owner.to_owned(), balance)
}

async fn kept(world: &World) -> Vec<(String, String, String, String, String)> {
    let select = "select xid, resource_id, action, who, note from dtx_repair";
    sqlx::query_as(select).fetch_all(world.at[0].pool()).await.unwrap()
}

/// Nothing is parked, locked or open any more.
async fn over(world: &World, xid: &str) {
    assert!(world.dtx.parked().await.unwrap().is_empty());
    assert!(world.dtx.locks().await.unwrap().is_empty());
    assert!(world.dtx.transactions(&TransactionFilter::default()).await.unwrap().is_empty());
    assert_eq!(world.dtx.status(xid).await.unwrap(), Some(GlobalStatus::RolledBack));
}

const ADD: &[&str] = &["update account set balance = balance + 7 where id = 1"];
const DIRTY: &[&str] = &["update account set balance = 5, owner = 'amy' where id = 1"];

#[tokio::test(flavor = "multi_thread")]
async fn it_is_shown_tried_and_restored() {
    let world = World::new().await;
    let xid = parked(&world, ADD, DIRTY).await;
    let branch = inspect(&world).await;
    let [row] = branch.rows.as_slice() else { panic!("{branch:?}") };
    assert!(row.table.contains("account") && row.key == "1" && row.problem.is_none(), "{row:?}");
    let balance = |row: &Option<onceward_dtx::RowText>| {
        row.as_ref().unwrap().iter().find(|(column, _)| column == "balance").unwrap().1.clone().unwrap()
    };
    let shown = [&row.before, &row.after, &row.current].map(balance);
    assert_eq!((shown, &row.differs), (["100", "107", "5"].map(str::to_owned), &vec!["balance".to_owned()]));

    let restore = branch.repair(RepairAction::Restore, "ann").with_note("it was a test");
    let would = world.dtx.repair(&restore.clone().as_dry_run()).await.unwrap();
    let RepairedRow { key, effect, .. } = &would.rows[0];
    assert_eq!((would.rows.len(), key.as_str(), *effect, would.status), (1, "1", Effect::Updated, None));
    assert_eq!(inspect(&world).await.fingerprint, branch.fingerprint, "a dry run changes nothing");
    assert!(kept(&world).await.is_empty());

    let done = world.dtx.repair(&restore).await.unwrap();
    assert_eq!((&done.rows, done.status), (&would.rows, Some(GlobalStatus::RolledBack)));
    let row = accounts(&world).await.remove(0);
    assert_eq!(row, account(1, "amy", 100), "what the branch left alone stays");
    let record = ["orders", "restore", "ann", "it was a test"].map(str::to_owned);
    let [resource, action, who, note] = record;
    assert_eq!(kept(&world).await, [(xid.clone(), resource, action, who, note)]);
    over(&world, &xid).await;
    let again = world.dtx.repair(&restore).await;
    assert!(matches!(again, Err(DtxError::NotParked { .. })), "{again:?}");
    add(&world.at[0], 1).await.unwrap_err();
    world.dtx.run(Options::new("the row is free"), async |_| add(&world.at[0], 1).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_and_done_leave_the_rows_but_only_as_they_were_shown() {
    for action in [RepairAction::Keep, RepairAction::Done] {
        let world = World::new().await;
        let xid = parked(&world, ADD, DIRTY).await;
        let stale = inspect(&world).await.repair(action, "ann");
        run_sql(&world, 0, "update account set balance = 6 where id = 1").await;
        for repair in [stale.clone().as_dry_run(), stale] {
            let refused = world.dtx.repair(&repair).await;
            assert!(matches!(refused, Err(DtxError::RowsChanged { .. })), "{refused:?}");
        }
        assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Parked));
        let repair = inspect(&world).await.repair(action, "ann");
        let would = world.dtx.repair(&repair.clone().as_dry_run()).await.unwrap();
        assert!(would.rows.is_empty());
        assert!(world.dtx.repair(&repair).await.unwrap().rows.is_empty());
        assert_eq!(accounts(&world).await[0], account(1, "amy", 6));
        over(&world, &xid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_went_and_moved_are_all_restored() {
    let world = World::new().await;
    run_sql(&world, 0, "create unique index one_owner on account (owner)").await;
    let before = accounts(&world).await;
    let branch = [
        "insert into account (id, owner, balance) values (9, 'new', 1)",
        "delete from account where id = 2",
        "update account set balance = 1 where id = 1",
        "update account set balance = 2 where id = 9",
    ];
    let meddle = [
        "update account set balance = 3 where id = 9",
        "insert into account (id, owner, balance) values (2, 'ann again', 5)",
        "delete from account where id = 1",
        "update account set owner = 'ann' where id = 9",
    ];
    let xid = parked(&world, &branch, &meddle).await;
    let shown = inspect(&world).await;
    assert_eq!(shown.rows.len(), 3);
    let row = |key: &str| shown.rows.iter().find(|row| row.key == key).unwrap();
    assert!(row("9").before.is_none() && row("2").after.is_none() && row("1").current.is_none(), "{shown:?}");
    let done = world.dtx.repair(&shown.repair(RepairAction::Restore, "ann")).await.unwrap();
    let mut effects: Vec<_> = done.rows.iter().map(|row| (row.key.as_str(), row.effect)).collect();
    effects.sort_unstable();
    assert_eq!(effects, [("1", Effect::Inserted), ("2", Effect::Updated), ("9", Effect::Deleted)]);
    assert_eq!(accounts(&world).await, before);
    over(&world, &xid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_forbids_it_forbids_all_of_it() {
    let world = World::new().await;
    run_sql(&world, 0, "create table note (id bigint primary key, account bigint references account (id))").await;
    let branch = [
        "insert into account (id, owner, balance) values (9, 'new', 1)",
        "update account set balance = 1 where id = 1",
    ];
    let xid = parked(&world, &branch, &["insert into note values (1, 9)"]).await;
    let shown = inspect(&world).await;
    let restore = shown.repair(RepairAction::Restore, "ann");
    for repair in [restore.clone().as_dry_run(), restore.clone()] {
        let refused = world.dtx.repair(&repair).await;
        assert!(matches!(refused, Err(DtxError::Backend(_) | DtxError::Refused { .. })), "{refused:?}");
        assert_eq!(inspect(&world).await.fingerprint, shown.fingerprint, "nothing changed");
    }
    assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Parked));
    run_sql(&world, 0, "delete from note").await;
    world.dtx.repair(&restore).await.unwrap();
    assert_eq!(accounts(&world).await, [account(1, "ann", 100), account(2, "bob", 100)]);
    over(&world, &xid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_gone_is_shown_as_far_as_known() {
    for change in ["drop table account", "alter table account rename column balance to amount"] {
        let world = World::new().await;
        let xid = parked(&world, ADD, &[change]).await;
        let shown = inspect(&world).await;
        let row = &shown.rows[0];
        assert!(row.problem.is_some() && row.current.is_none() && row.key == "1", "{change}: {row:?}");
        let ann = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains("ann"));
        assert!(row.before.as_ref().unwrap().iter().any(|(_, text)| ann(text)), "{row:?}");
        let refused = world.dtx.repair(&shown.repair(RepairAction::Restore, "ann")).await;
        assert!(matches!(refused, Err(DtxError::Refused { .. })), "{refused:?}");
        world.dtx.repair(&shown.repair(RepairAction::Done, "ann")).await.unwrap();
        over(&world, &xid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_can_only_be_forgotten() {
    let world = World::new().await;
    let xid = parked(&world, ADD, &[DAMAGE]).await;
    let shown = inspect(&world).await;
    assert!(shown.rows.is_empty() && shown.problem.is_some(), "{shown:?}");
    let refused = world.dtx.repair(&shown.repair(RepairAction::Restore, "ann")).await;
    assert!(matches!(refused, Err(DtxError::Refused { .. })), "{refused:?}");
    world.dtx.repair(&shown.repair(RepairAction::Keep, "ann")).await.unwrap();
    assert_eq!(accounts(&world).await[0], account(1, "ann", 107));
    over(&world, &xid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_repair_at_once_one_does() {
    let world = World::new().await;
    let xid = parked(&world, ADD, DIRTY).await;
    let shown = inspect(&world).await;
    let decide = |action, who: &str| {
        let (dtx, repair): (_, Repair) = (world.dtx.clone(), shown.repair(action, who));
        tokio::spawn(async move { dtx.repair(&repair).await })
    };
    let both = [decide(RepairAction::Restore, "ann"), decide(RepairAction::Keep, "bob")];
    let mut winners = Vec::new();
    for (who, task) in ["ann", "bob"].into_iter().zip(both) {
        match task.await.unwrap() {
            Ok(_) => winners.push(who.to_owned()),
            Err(DtxError::NotParked { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let kept = kept(&world).await;
    assert_eq!((winners.len(), kept.len()), (1, 1), "{winners:?} {kept:?}");
    assert_eq!(kept[0].3, winners[0]);
    assert_eq!(accounts(&world).await[0].2, if winners == ["ann"] { 100 } else { 5 });
    over(&world, &xid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_before_the_coordinator_hears_of_it_is_made_good() {
    for by_worker in [false, true] {
        let world = World::new().await;
        let xid = parked(&world, ADD, DIRTY).await;
        let repair = inspect(&world).await.repair(RepairAction::Restore, "ann");
        // The first of the two steps alone.
        world.dtx.resources().get("orders").unwrap().repair(&repair).await.unwrap();
        let world = world.restart().await;
        assert_eq!(world.dtx.status(&xid).await.unwrap(), Some(GlobalStatus::Parked));
        assert_eq!(world.dtx.locks().await.unwrap().len(), 1);
        if by_worker {
            let _worker = world.worker();
            testkit::eventually(std::time::Duration::from_secs(20), async || {
                let status = world.dtx.status(&xid).await.unwrap();
                if status == Some(GlobalStatus::RolledBack) { Ok(()) } else { Err(format!("{status:?}")) }
            })
            .await;
        } else {
            world.dtx.recover().await.unwrap();
        }
        over(&world, &xid).await;
        // Asking again is harmless, also for a branch that was ended by a repair.
        let late = world.dtx.repair(&repair).await;
        assert!(matches!(late, Err(DtxError::NotParked { .. })), "{late:?}");
        assert_eq!(accounts(&world).await[0].2, 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_went_there_and_back_goes_back_the_way_it_came() {
    let world = World::new().await;
    let run = world.dtx.run(Options::new("there and back"), async |_| {
        add(&world.at[0], 7).await?;
        world.at[0]
            .branch(async |mut tx| {
                let back = "update account set balance = balance - 7, owner = 'amy' where id = 1";
                sqlx::query(back).execute(&mut *tx).await?;
                Ok::<_, DtxError>(())
            })
            .await?;
        run_sql(&world, 0, "update account set owner = 'eve' where id = 1").await;
        Err::<(), _>(DtxError::NoTransaction)
    });
    let answer = run.await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    // The first branch finds the row as it was before it, but the second is parked and may be taken back later.
    let mut parked = world.dtx.parked().await.unwrap();
    assert_eq!(parked.len(), 2, "{parked:?}");
    parked.sort_by_key(|branch| branch.branch_id);
    assert!(parked[0].reason.contains("a later branch is parked"), "{parked:?}");
    let restore = async |at: usize| {
        let branch = world.dtx.inspect(&parked[at]).await.unwrap().unwrap();
        world.dtx.repair(&branch.repair(RepairAction::Restore, "ann")).await
    };
    let early = restore(0).await;
    assert!(matches!(early, Err(DtxError::Refused { .. })), "{early:?}");
    restore(1).await.unwrap();
    assert_eq!(accounts(&world).await[0], account(1, "ann", 107));
    restore(0).await.unwrap();
    assert_eq!(accounts(&world).await[0], account(1, "ann", 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_parked_branches_each_gives_up_its_own_locks() {
    let world = World::new().await;
    let mut xid = String::new();
    let run = world.dtx.run(Options::new("two of them"), async |global| {
        xid = global.xid().to_owned();
        add(&world.at[0], 7).await?;
        add(&world.at[1], 7).await?;
        run_sql(&world, 0, "update account set balance = 5 where id = 1").await;
        run_sql(&world, 1, "update account set balance = 5 where id = 1").await;
        Err::<(), _>(DtxError::NoTransaction)
    });
    assert!(matches!(run.await, Err(DtxError::Parked { .. })));
    for left in [1, 0] {
        let parked = world.dtx.parked().await.unwrap().remove(0);
        let shown = world.dtx.inspect(&parked).await.unwrap().unwrap();
        let done = world.dtx.repair(&shown.repair(RepairAction::Keep, "ann")).await.unwrap();
        let expected = if left == 0 { GlobalStatus::RolledBack } else { GlobalStatus::Parked };
        assert_eq!(done.status, Some(expected));
        let locks = world.dtx.locks().await.unwrap();
        assert!(locks.len() == left && locks.iter().all(|lock| lock.resource_id != parked.resource_id), "{locks:?}");
    }
    over(&world, &xid).await;
}
