//! A writer that knows nothing of global transactions changes a wallet between a branch and its undo.
//!
//! The shop is stopped meanwhile: one process at a time owns the coordinator, and repairing is for an operator.

use onceward_backend::sqlite;
use onceward_dtx::{AtDb, DtxError, Options, ParkedRow, RepairAction};
use sqlx::Pool;

use super::stage::Stage;
use super::{Surprise, amount, expect, text};
use crate::home::Home;
use crate::orders::OrderError;
use crate::stores::{ORDER_TIMEOUT, Stores};
use crate::tables::Tables;
use crate::verify::{self, Shop};
use crate::wallet::Charge;

/// A charge is rolled back, cannot be undone, is shown to a person, and is repaired.
pub(super) async fn play(stage: &mut Stage, user: &str) -> Result<(), Surprise> {
    stage.title("Something outside overwrites a wallet while its charge is rolled back");
    let browser = stage.browser()?;
    browser.login(user, "/").await?;
    let account = browser.get("/account").await?.ok()?;
    let before = browser.get("/wallet").await?.ok()?;
    stage.step("GET /wallet", &format!("balance {}", amount(&before["balance"])));
    stage.shop.stop().await?;

    let (home, right, stores) = stage.take_over().await?;
    let xid = park(&home, &stores, text(&account["user"]["id"])).await?;
    stage.step("a charge, then an UPDATE past AT, then a failure", &format!("xid {xid} is parked, not overwritten"));
    let wrong = failing(&stores).await?;
    expect(!wrong.is_empty(), "the invariants do not see the charge", &before)?;
    stage.step("shop verify", &format!("does not hold: {}", wrong.join(", ")));

    let parked = stores.dtx.parked().await?;
    let [parked] = parked.as_slice() else { return Err(format!("not one parked branch: {parked:?}").into()) };
    let branch = stores.dtx.inspect(parked).await?.ok_or("it is not parked any more")?;
    stage.step(&format!("parked in {}", parked.resource_id), &parked.reason);
    for row in &branch.rows {
        stage.step(&format!("{} {}", row.table, row.key), &shown(row));
    }
    let repair = branch.repair(RepairAction::Restore, "demo").with_note("the import was wrong");
    let would = stores.dtx.repair(&repair.clone().as_dry_run()).await?;
    let effects = |rows: &[onceward_dtx::RepairedRow]| {
        rows.iter().map(|row| format!("{} {} {:?}", row.table, row.key, row.effect)).collect::<Vec<_>>().join(", ")
    };
    stage.step("restore, as a dry run", &format!("would do: {}", effects(&would.rows)));
    let done = stores.dtx.repair(&repair).await?;
    let status = done.status.map_or("not known", |status| status.as_str());
    stage.step("restore", &format!("done: {}; the transaction is {status}", effects(&done.rows)));
    let again = stores.dtx.repair(&repair).await;
    let refused = again.err().ok_or("a second repair was let through")?;
    stage.step("restore again", &format!("refused: {refused}"));
    let wrong = failing(&stores).await?;
    expect(wrong.is_empty(), &format!("still wrong: {}", wrong.join(", ")), &before)?;
    stage.step("shop verify", "all invariants hold again");
    drop((stores, right));

    stage.restart().await?;
    let after = browser.get("/wallet").await?.ok()?;
    expect(before["balance"] == after["balance"] && before["ledger"] == after["ledger"], "another wallet", &after)?;
    stage.step("start the shop, GET /wallet", &format!("balance {} as before", amount(&after["balance"])));
    Ok(())
}

/// Charges, lets the outsider write, and fails. Answers the transaction, which is parked then.
async fn park(home: &Home, stores: &Stores, user: &str) -> Result<String, Surprise> {
    let mut xid = String::new();
    let options = Options::new("charge that fails").with_timeout(ORDER_TIMEOUT);
    let answer: Result<(), OrderError> = stores
        .dtx
        .run(options, async |global| {
            xid = global.xid().to_owned();
            let charge = Charge { order: "dirty-write", user, amount: 100, xid: &xid };
            stores.wallet.charge(&charge).await?;
            import(home, user).await?;
            Err(OrderError::Overtaken)
        })
        .await;
    match answer {
        Err(OrderError::Transaction(DtxError::Parked { .. })) => Ok(xid),
        other => Err(format!("it was not parked: {other:?}").into()),
    }
}

/// The outsider: a connection of its own, without a look at locks.
async fn import(home: &Home, user: &str) -> Result<(), OrderError> {
    async fn overwrite<D: AtDb>(wallets: Pool<D>, user: &str) -> Result<(), OrderError> {
        let tables = Tables::new(wallets);
        let overwrite = tables.sql("update wallets set balance = 1 where user_id = ?");
        overwrite.bind(user).execute(&mut tables.conn().await?).await?;
        Ok(())
    }
    match home {
        Home::Folder(folder) => overwrite(sqlite::open(folder.join("wallet.db")).await?, user).await,
        Home::Servers(servers) => overwrite(servers.postgres("wallet"), user).await,
    }
}

/// The invariants that do not hold.
async fn failing(stores: &Stores) -> Result<Vec<&'static str>, Surprise> {
    let invariants = verify::check(stores, Shop::Rests).await?;
    Ok(invariants.into_iter().filter(|invariant| !invariant.ok).map(|invariant| invariant.name).collect())
}

/// A row before the branch, after it, and now; of values that stayed, only the last.
fn shown(row: &ParkedRow) -> String {
    let image = |image: &Option<onceward_dtx::RowText>| match image {
        None => "absent".to_owned(),
        Some(values) => {
            let value =
                |(column, text): &(String, Option<String>)| format!("{column} {}", text.as_deref().unwrap_or("null"));
            values.iter().map(value).collect::<Vec<_>>().join(", ")
        }
    };
    let differs = if row.differs.is_empty() {
        "as the branch left it".to_owned()
    } else {
        format!("not as the branch left it: {}", row.differs.join(", "))
    };
    let (before, after, now) = (image(&row.before), image(&row.after), image(&row.current));
    format!("before: {before}\n     after:  {after}\n     now:    {now}\n     {differs}")
}
