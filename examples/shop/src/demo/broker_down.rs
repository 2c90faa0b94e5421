//! The broker is gone while people order: their messages wait in the outbox, spend nothing, and are sent when it is back.

use std::collections::BTreeMap;

use onceward_reliable_mq::{MessageFilter, MessageInfo, Status};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::part::READY;
use super::stage::Stage;
use super::{Browser, Surprise, buy, expect, list, notified_within, text, two_in_stock};

/// A publish and the look at the broker after it may each wait 5 s for an answer; and a moment to write down what came of it.
const ONE_TRY: Duration = Duration::from_secs(11);

pub(super) async fn play(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("The broker is gone while people order");
    let mut buyers = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let browser = stage.browser()?;
        let shelf = browser.get("/").await?.ok()?;
        let (sku, _) = two_in_stock(&browser, &list(&shelf, "products")).await?;
        browser.login(user, "/").await?;
        buyers.push((browser, sku));
    }
    let (first, sku) = &buyers[0];
    let before = buy(first, sku).await?;
    let took = notified_within(first, &before, READY).await?;
    stage.step("an order before", &format!("{before}: notified {} ms after it", took.as_millis()));

    let how = stage.way()?.cut().await?;
    let since = Instant::now();
    stage.step("the broker is gone", how);
    stage.step("GET /readyz", &format!("503 {}", unready(first).await?));
    let mut orders = Vec::new();
    for (browser, sku) in &buyers {
        for _ in 0..2 {
            orders.push((browser, buy(browser, sku).await?));
        }
    }
    stage.step("6 × POST /checkout", &format!("6 × 303, the last {} ms into the outage", since.elapsed().as_millis()));
    // So long that each message was tried, and the broker asked after it.
    sleep(ONE_TRY).await;
    for (browser, order) in &orders {
        let shown = browser.get(order).await?.ok()?;
        expect(shown["status"] == "confirmed" && shown["notified"] == false, "not confirmed, or notified", &shown)?;
    }
    stage.step("GET /orders/{id}", "all are confirmed, none is notified");
    let outbox = stage.look().await?.outbox;
    let waiting = outbox.messages(&MessageFilter::default()).await?;
    let untouched = |message: &MessageInfo| message.status == Status::Pending && message.attempts == 0;
    let all = waiting.len() == orders.len() && waiting.iter().all(untouched);
    expect(all, &format!("a message is lost or has spent an attempt: {waiting:?}"), &Value::Null)?;
    let oldest = waiting.iter().map(|message| message.age).max().unwrap_or_default();
    stage.step(
        "the outbox",
        &format!("{} messages wait, the oldest for {:.1} s; 0 attempts spent", waiting.len(), oldest.as_secs_f64()),
    );

    stage.way()?.mend().await?;
    let (gone, back) = (since.elapsed(), Instant::now());
    for (browser, order) in &orders {
        notified_within(browser, order, READY).await?;
    }
    stage.step(
        "the broker is back",
        &format!("after {:.1} s; all 6 are notified {} ms later", gone.as_secs_f64(), back.elapsed().as_millis()),
    );
    let stores = stage.look().await?;
    let counts: BTreeMap<String, i64> = stores.notices.counts().await?;
    let ids = orders.iter().map(|(_, order)| order.trim_start_matches("/orders/"));
    let each: Vec<i64> = ids.map(|id| counts.get(id).copied().unwrap_or(0)).collect();
    expect(each == [1; 6], &format!("not one notification each: {each:?}"), &Value::Null)?;
    let attempts = sent_at(stage, &waiting).await?;
    stage.step("notifications, log", &format!("1 for each order; every message sent at attempt {attempts}"));
    Ok(())
}

/// What `/readyz` says of the broker.
async fn unready(browser: &Browser) -> Result<String, Surprise> {
    let since = Instant::now();
    loop {
        let answer = browser.get("/readyz").await?;
        let detail = text(&answer.body["detail"]);
        if answer.status == 503 && detail.contains("broker") {
            return Ok(detail.to_owned());
        }
        expect(since.elapsed() < READY, "the shop does not miss its broker", &answer.body)?;
        sleep(Duration::from_millis(50)).await;
    }
}

/// The attempt at which all of them were sent, by the log. The relay writes it down a moment after the broker has them.
async fn sent_at(stage: &Stage, messages: &[MessageInfo]) -> Result<u32, Surprise> {
    let (outbox, since) = (stage.look().await?.outbox, Instant::now());
    loop {
        let mut log = Vec::new();
        for message in messages {
            log.extend(outbox.attempts(&message.message_id).await?.into_iter().map(|one| (one.status, one.attempt)));
        }
        if log.len() == messages.len() && log.iter().all(|one| *one == (Status::Sent, 1)) {
            return Ok(1);
        }
        expect(since.elapsed() < READY, &format!("the log has {log:?}"), &Value::Null)?;
        sleep(Duration::from_millis(20)).await;
    }
}
