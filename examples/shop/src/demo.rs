//! `shop demo`: the journey over HTTP, against a shop of its own, each step with its evidence.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::cli::{Demo, DemoArgs};
use crate::pages::money;
use crate::serve::ServeError;

mod apart;
mod broker_down;
mod browser;
mod dirty_write;
mod outage;
mod part;
mod poison_message;
mod stage;

pub use browser::{Answer, Browser};
use stage::{Cast, Stage};

/// A reason to stop: what was expected and what came.
type Surprise = ServeError;

/// Runs a demonstration. Exit 1 if a step goes wrong or an invariant fails.
///
/// # Errors
/// If a step does not show what it should.
pub async fn run(args: &DemoArgs) -> Result<ExitCode, ServeError> {
    let demo = args.name.unwrap_or(Demo::Journey);
    let mut stage = Stage::open(&args.backends, cast(demo)).await?;
    let holds = play(&mut stage, demo).await;
    stage.strike().await;
    Ok(if holds? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const fn cast(demo: Demo) -> Cast {
    let (shop, wallet) = (Some("undecided"), Some("charged"));
    match demo {
        Demo::KillWallet => Cast::Wallet { shop_waits: None, wallet_waits: wallet },
        Demo::KillOrderTm | Demo::KillCoordinator => Cast::Wallet { shop_waits: shop, wallet_waits: None },
        Demo::BrokerDown => Cast::ShopAndWay,
        _ => Cast::Shop,
    }
}

async fn play(stage: &mut Stage, demo: Demo) -> Result<bool, Surprise> {
    match demo {
        Demo::Journey => {
            journey(stage).await?;
            double_submit(stage, "bob").await?;
            stock_short(stage, "carol").await?;
            kill(stage).await?;
            dirty_write::play(stage, "dave").await?;
        }
        Demo::DoubleSubmit => double_submit(stage, "bob").await?,
        Demo::StockShort => stock_short(stage, "carol").await?,
        Demo::Kill => kill(stage).await?,
        Demo::KillWallet => apart::kill_wallet(stage).await?,
        Demo::KillOrderTm => apart::kill_order_tm(stage).await?,
        Demo::KillCoordinator => apart::kill_coordinator(stage).await?,
        Demo::DirtyWrite => dirty_write::play(stage, "dave").await?,
        Demo::BrokerDown => broker_down::play(stage).await?,
        Demo::PoisonMessage => poison_message::play(stage).await?,
    }
    stage.verify().await
}

/// Log in, fill the cart, order, be notified.
async fn journey(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("A guest fills a cart, signs in and orders");
    let browser = stage.browser()?;
    let shelf = browser.get("/").await?.ok()?;
    let products = list(&shelf, "products");
    stage.step("GET /", &format!("{} products in {} categories", products.len(), list(&shelf, "categories").len()));
    let (first, second) = two_in_stock(&browser, &products).await?;
    browser.add(&first, 2).await?.see_other()?;
    browser.add(&second, 1).await?.see_other()?;
    let cart = browser.get("/cart").await?.ok()?;
    stage.step(
        "POST /cart/lines, twice",
        &format!("{} cart, {} lines, subtotal {}", text(&cart["owner"]), lines(&cart), amount(&cart["subtotal"])),
    );

    let back = browser.login("alice", "/cart").await?;
    stage.step("sign in at mini-qq as alice", &format!("the callback answered 303 {back}"));
    let account = browser.get("/account").await?.ok()?;
    stage.step("GET /account", &format!("{} is {}", text(&account["user"]["id"]), text(&account["user"]["nickname"])));
    let cart = browser.get("/cart").await?.ok()?;
    expect(lines(&cart) == 2 && cart["owner"] == "member", "the guest's cart did not come along", &cart)?;
    stage.step(
        "GET /cart",
        &format!("{} cart, {} lines: the guest's cart was merged", text(&cart["owner"]), lines(&cart)),
    );

    let confirm = browser.get("/checkout").await?.ok()?;
    stage.step(
        "GET /checkout",
        &format!("total {}, balance {}, a hidden order token", amount(&confirm["total"]), amount(&confirm["balance"])),
    );
    let order = browser.submit(&confirm).await?.see_other()?;
    let shown = browser.get(&order).await?.ok()?;
    stage.step("POST /checkout", &format!("303 {order}: {} over {}", text(&shown["status"]), amount(&shown["total"])));
    stage.step("one global transaction", &format!("xid {} over orders, stock and wallet", text(&shown["xid"])));
    let wallet = browser.get("/wallet").await?.ok()?;
    stage.step(
        "GET /wallet",
        &format!("balance {}, {} entries", amount(&wallet["balance"]), list(&wallet, "ledger").len()),
    );
    let took = notified(&browser, &order).await?;
    stage.step("outbox, broker, inbox", &format!("notified once, {} ms after the order", took.as_millis()));
    let cart = browser.get("/cart").await?.ok()?;
    expect(lines(&cart) == 0, "what was bought is still in the cart", &cart)?;
    stage.step("GET /cart", "what was bought has left the cart");
    let again = browser.submit(&confirm).await?.see_other()?;
    expect(again == order, "the same form gave another order", &shown)?;
    stage.step("POST /checkout again with the same token", &format!("303 {again}: the same order"));
    Ok(())
}

/// Twenty parallel posts of one order token.
async fn double_submit(stage: &mut Stage, user: &str) -> Result<(), Surprise> {
    stage.title("Twenty parallel posts of one order form");
    let browser = stage.browser()?;
    let shelf = browser.get("/").await?.ok()?;
    let (sku, _) = two_in_stock(&browser, &list(&shelf, "products")).await?;
    browser.login(user, "/").await?;
    browser.add(&sku, 1).await?.see_other()?;
    let confirm = browser.get("/checkout").await?.ok()?;
    let posts = (0..20).map(|_| browser.submit(&confirm));
    let mut orders = Vec::new();
    for answer in futures_util::future::join_all(posts).await {
        orders.push(answer?.see_other()?);
    }
    orders.sort();
    orders.dedup();
    expect(orders.len() == 1, "one token gave several orders", &confirm)?;
    stage.step("20 × POST /checkout", &format!("20 × 303 {}", orders[0]));
    Ok(())
}

/// The second SKU has none left: nothing of the order stays.
async fn stock_short(stage: &mut Stage, user: &str) -> Result<(), Surprise> {
    stage.title("The second product is sold out");
    let browser = stage.browser()?;
    let shelf = browser.get("/").await?.ok()?;
    let products = list(&shelf, "products");
    let (sku, _) = two_in_stock(&browser, &products).await?;
    let gone = find(&browser, &products, |stock| stock == 0).await?;
    browser.login(user, "/").await?;
    let before = browser.get("/wallet").await?.ok()?;
    browser.add(&sku, 1).await?.see_other()?;
    browser.add(&gone, 1).await?.see_other()?;
    let confirm = browser.get("/checkout").await?.ok()?;
    let answer = browser.submit(&confirm).await?;
    expect(answer.status == 409, "an order without stock was not refused", &answer.body)?;
    stage.step("POST /checkout", &format!("409 {}", text(&answer.body["detail"])));
    let after = browser.get("/wallet").await?.ok()?;
    expect(before["balance"] == after["balance"], "the wallet was charged", &after)?;
    let orders = list(&browser.get("/orders").await?.ok()?, "orders").len();
    let cart = browser.get("/cart").await?.ok()?;
    expect(lines(&cart) == 2 && orders == 0, "the cart is not as it was, or there is an order", &cart)?;
    let dtx = stage.look().await?.dtx;
    let (undo, locks) = (dtx.undo_rows().await?.len(), dtx.locks().await?.len());
    expect(undo == 0 && locks == 0, "undo rows or locks are left", &Value::Null)?;
    stage.step(
        "GET /wallet, /orders, /cart",
        &format!("balance {} as before, no order, the cart as it was", amount(&after["balance"])),
    );
    stage.step("undo_log, global locks", "none: the order and the stock of the first product were taken back");
    Ok(())
}

/// SIGKILL while orders are running, then a restart on the same data.
async fn kill(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("SIGKILL while three clients buy");
    let mut buyers = Vec::new();
    for user in ["alice", "bob", "dave"] {
        let browser = stage.browser()?;
        let shelf = browser.get("/").await?.ok()?;
        let (sku, _) = two_in_stock(&browser, &list(&shelf, "products")).await?;
        browser.login(user, "/").await?;
        buyers.push((browser, sku));
    }
    let buying: Vec<_> = buyers
        .into_iter()
        .map(|(browser, sku)| {
            #[allow(clippy::disallowed_methods, reason = "a program may spawn")]
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while let Ok(order) = buy(&browser, &sku).await {
                    acknowledged.push(order);
                }
                (browser, acknowledged)
            })
        })
        .collect();
    sleep(Duration::from_millis(1_200)).await;
    stage.shop.kill().await?;
    let mut finished = Vec::new();
    for buyer in buying {
        finished.push(buyer.await?);
    }
    let count: usize = finished.iter().map(|(_, orders)| orders.len()).sum();
    stage.step("kill -9", &format!("{count} orders were acknowledged before"));
    let took = stage.restart().await?;
    stage.step(
        "restart on the same data",
        &format!("ready after {} ms: undecided transactions were rolled back", took.as_millis()),
    );
    for (browser, orders) in finished {
        for order in orders {
            notified(&browser, &order).await?;
        }
    }
    stage.step(
        "GET /orders/{id}",
        &format!("all {count} are there and notified, with the cookies from before the kill"),
    );
    Ok(())
}

async fn buy(browser: &Browser, sku: &str) -> Result<String, Surprise> {
    browser.add(sku, 1).await?.see_other()?;
    let confirm = browser.get("/checkout").await?.ok()?;
    browser.submit(&confirm).await?.see_other()
}

/// Waits until an order's page says that its buyer was notified.
async fn notified(browser: &Browser, order: &str) -> Result<Duration, Surprise> {
    notified_within(browser, order, Duration::from_secs(10)).await
}

async fn notified_within(browser: &Browser, order: &str, limit: Duration) -> Result<Duration, Surprise> {
    let started = Instant::now();
    loop {
        let shown = browser.get(order).await?.ok()?;
        if shown["notified"] == true {
            return Ok(started.elapsed());
        }
        expect(started.elapsed() < limit, &format!("not notified within {limit:?}"), &shown)?;
        sleep(Duration::from_millis(20)).await;
    }
}

async fn two_in_stock(browser: &Browser, products: &[Value]) -> Result<(String, String), Surprise> {
    let first = find(browser, products, |stock| stock >= 200).await?;
    let rest: Vec<_> = products.iter().filter(|product| product["sku"] != *first).cloned().collect();
    let second = find(browser, &rest, |stock| stock >= 200).await?;
    Ok((first, second))
}

async fn find(browser: &Browser, products: &[Value], wanted: impl Fn(i64) -> bool) -> Result<String, Surprise> {
    for product in products {
        let sku = product["sku"].as_str().unwrap_or_default();
        let page = browser.get(&format!("/p/{sku}")).await?.ok()?;
        if page["stock"].as_i64().is_some_and(&wanted) {
            return Ok(sku.to_owned());
        }
    }
    Err("no product of the catalogue fits".into())
}

fn expect(holds: bool, what: &str, shown: &Value) -> Result<(), Surprise> {
    if holds { Ok(()) } else { Err(format!("{what}: {shown}").into()) }
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().cloned().unwrap_or_default()
}

fn lines(cart: &Value) -> usize {
    list(cart, "lines").len()
}

/// A JSON string without its quotes.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn amount(value: &Value) -> String {
    money(value.as_i64().unwrap_or(0))
}
