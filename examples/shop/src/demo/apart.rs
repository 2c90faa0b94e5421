//! The wallets in a process of their own, one of the two killed at the worst moment: the other one brings to an end what is
//! its own, and the whole happens once or not at all.

use std::collections::BTreeSet;

use onceward_dtx::{BranchStatus, GlobalStatus, TransactionFilter, TransactionInfo};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep};

use super::part::READY;
use super::stage::Stage;
use super::{Answer, Browser, Surprise, amount, expect, list, notified, text, two_in_stock};
use crate::stores::Stores;

/// Somebody about to order, and what there was before.
struct Buyer {
    browser: Browser,
    confirm: Value,
    wallet: Value,
    sku: String,
    stock: Value,
}

impl Buyer {
    async fn enters(stage: &mut Stage, user: &str) -> Result<Self, Surprise> {
        let browser = stage.browser()?;
        let shelf = browser.get("/").await?.ok()?;
        let (sku, other) = two_in_stock(&browser, &list(&shelf, "products")).await?;
        browser.login(user, "/").await?;
        browser.add(&sku, 2).await?.see_other()?;
        browser.add(&other, 1).await?.see_other()?;
        let confirm = browser.get("/checkout").await?.ok()?;
        let wallet = browser.get("/wallet").await?.ok()?;
        let stock = browser.get(&format!("/p/{sku}")).await?.ok()?["stock"].clone();
        let balance = amount(&wallet["balance"]);
        stage.step("GET /checkout", &format!("{user} is about to pay {} of {balance}", amount(&confirm["total"])));
        Ok(Self { browser, confirm, wallet, sku, stock })
    }

    /// Sends the form and does not wait for the answer.
    fn submits(&self) -> JoinHandle<Option<Answer>> {
        let (browser, confirm) = (self.browser.clone(), self.confirm.clone());
        #[allow(clippy::disallowed_methods, reason = "a program may spawn")]
        tokio::spawn(async move { browser.submit(&confirm).await.ok() })
    }

    /// Nothing of the order is there.
    async fn has_nothing(&self, stage: &mut Stage) -> Result<(), Surprise> {
        let wallet = self.browser.get("/wallet").await?.ok()?;
        let stock = self.browser.get(&format!("/p/{}", self.sku)).await?.ok()?["stock"].clone();
        let orders = list(&self.browser.get("/orders").await?.ok()?, "orders").len();
        let cart = self.browser.get("/cart").await?.ok()?;
        let same = wallet["balance"] == self.wallet["balance"] && wallet["ledger"] == self.wallet["ledger"];
        expect(same && stock == self.stock && orders == 0, "something of it is left", &wallet)?;
        expect(list(&cart, "lines").len() == 2, "the cart is not as it was", &cart)?;
        let balance = amount(&wallet["balance"]);
        stage.step("GET /wallet, /orders, /cart", &format!("balance {balance}, stock {stock} as before, no order"));
        Ok(())
    }

    /// The form is one order, however often it is sent.
    async fn has_one_order(&self, stage: &mut Stage) -> Result<(), Surprise> {
        let order = loop {
            let answer = self.browser.submit(&self.confirm).await?;
            if answer.status != 503 {
                break answer.see_other()?;
            }
        };
        let again = self.browser.submit(&self.confirm).await?.see_other()?;
        notified(&self.browser, &order).await?;
        let wallet = self.browser.get("/wallet").await?.ok()?;
        let (orders, ledger) = (self.browser.get("/orders").await?.ok()?, list(&wallet, "ledger"));
        let one = list(&orders, "orders").len() == 1 && ledger.len() == 1 && again == order;
        expect(one && order.ends_with(text(&ledger[0]["ref"])), "not one order with its debit", &wallet)?;
        let balance = amount(&wallet["balance"]);
        stage.step(
            "POST /checkout with the same form, twice",
            &format!("2 × 303 {order}, one debit, balance {balance}"),
        );
        Ok(())
    }
}

/// The only transaction that is open.
async fn open(stores: &Stores) -> Result<TransactionInfo, Surprise> {
    let filter = TransactionFilter::default().in_states([GlobalStatus::Active]);
    let mut open = stores.dtx.transactions(&filter).await?;
    if open.len() == 1 { Ok(open.remove(0)) } else { Err(format!("not one open transaction: {open:?}").into()) }
}

/// The resources whose branches are not at their end.
fn waiting(shown: &TransactionInfo) -> Vec<&str> {
    let open = shown.branches.iter().filter(|branch| branch.status == BranchStatus::Registered);
    open.map(|branch| branch.resource_id.as_str()).collect()
}

/// Waits until a transaction is as it should be.
async fn becomes(
    stores: &Stores,
    xid: &str,
    wanted: impl Fn(&TransactionInfo) -> bool,
) -> Result<(TransactionInfo, Duration), Surprise> {
    let (since, filter) = (Instant::now(), TransactionFilter::of(xid));
    loop {
        let shown = stores.dtx.transactions(&filter).await?.pop();
        match shown {
            Some(shown) if wanted(&shown) => return Ok((shown, since.elapsed())),
            shown if since.elapsed() > READY => return Err(format!("it stays as it is: {shown:?}").into()),
            _ => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The wallet dies with its part committed and not answered.
pub(super) async fn kill_wallet(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("The wallet is killed after it has charged and before it answers");
    let buyer = Buyer::enters(stage, "alice").await?;
    let answer = buyer.submits();
    stage.wallet()?.says("held charged").await?;
    let stores = stage.look().await?;
    let xid = open(&stores).await?.xid;
    stage.step("POST /checkout", &format!("the charge is committed in the wallet's database, xid {xid} is undecided"));
    stage.wallet()?.kill().await?;
    let (shown, took) =
        becomes(&stores, &xid, |shown| shown.status == GlobalStatus::RollingBack && waiting(shown) == ["wallet"])
            .await?;
    let (took, tables): (_, BTreeSet<_>) = (took.as_millis(), shown.locks.iter().map(|lock| &*lock.table).collect());
    let locked = tables.into_iter().collect::<Vec<_>>().join(", ");
    stage.step(
        "kill -9 the wallet",
        &format!("{took} ms later orders and stock are rolled back; rows stay locked in {locked}, and nowhere else"),
    );
    expect(locked == "ledger, wallets", "other rows are locked", &Value::Null)?;
    let took = stage.restart_wallet().await?;
    let (over, _) = becomes(&stores, &xid, |shown| shown.status.is_over()).await?;
    expect(over.status == GlobalStatus::RolledBack && over.locks.is_empty(), "it did not end well", &Value::Null)?;
    stage
        .step("start the wallet", &format!("ready after {} ms: the charge is undone, no row locked", took.as_millis()));
    let answered = answer.await?.map_or(0, |answer| answer.status);
    stage.step("the browser that has waited all the time", &format!("{answered}"));
    buyer.has_one_order(stage).await
}

/// The shop dies with everything done and nothing decided.
pub(super) async fn kill_order_tm(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("The shop, which began the transaction, is killed before it decides");
    let buyer = Buyer::enters(stage, "bob").await?;
    let answer = buyer.submits();
    stage.shop.says("held undecided").await?;
    let stores = stage.look().await?;
    let open = open(&stores).await?;
    let (xid, branches) = (&open.xid, waiting(&open).join(", "));
    stage.step("POST /checkout", &format!("committed in {branches}; xid {xid} is undecided"));
    stage.shop.kill().await?;
    answer.await?;
    let (shown, took) =
        becomes(&stores, xid, |shown| shown.status == GlobalStatus::RollingBack && !waiting(shown).contains(&"wallet"))
            .await?;
    let reason = shown.reason.map_or_else(String::new, |reason| format!(": {reason}"));
    stage.step(
        "kill -9 the shop",
        &format!(
            "{} ms later the wallet's coordinator has rolled back{reason}; the charge is undone",
            took.as_millis()
        ),
    );
    let took = stage.restart().await?;
    let (over, _) = becomes(&stores, xid, |shown| shown.status.is_over()).await?;
    expect(over.status == GlobalStatus::RolledBack && over.locks.is_empty(), "it did not end well", &Value::Null)?;
    stage.step("start the shop", &format!("ready after {} ms: order and stock are undone too", took.as_millis()));
    buyer.has_nothing(stage).await?;
    buyer.has_one_order(stage).await
}

/// The coordinator dies with the decision stored and the second phase half done.
pub(super) async fn kill_coordinator(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("The shop, which coordinates, is killed in the second phase");
    let buyer = Buyer::enters(stage, "carol").await?;
    let answer = buyer.submits();
    stage.shop.says("held undecided").await?;
    let stores = stage.look().await?;
    let xid = open(&stores).await?.xid;
    stage.wallet()?.kill().await?;
    stage.step("POST /checkout, kill -9 the wallet", &format!("all is charged; xid {xid} is undecided"));
    stage.shop.release().await?;
    let order = answer.await?.ok_or("no answer")?.see_other()?;
    let half = |shown: &TransactionInfo| shown.status == GlobalStatus::Committing && waiting(shown) == ["wallet"];
    becomes(&stores, &xid, half).await?;
    stage.step(
        "the decision",
        &format!("303 {order}: orders and stock are done, the wallet's branch waits for its process"),
    );
    stage.shop.kill().await?;
    stage.step("kill -9 the shop", "nobody is there");
    let took = stage.restart_wallet().await?;
    let (over, _) = becomes(&stores, &xid, |shown| shown.status.is_over()).await?;
    expect(over.status == GlobalStatus::Committed, "it was not committed", &Value::Null)?;
    let took = took.as_millis();
    stage.step(
        "start the wallet",
        &format!("ready after {took} ms: its coordinator has read the decision and ended it"),
    );
    let took = stage.restart().await?;
    stage.step("start the shop", &format!("ready after {} ms", took.as_millis()));
    buyer.has_one_order(stage).await
}
