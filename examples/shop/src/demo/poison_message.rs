//! A message that no handler can read comes in between: it is parked with its reason, and nobody else waits for it.

use std::sync::Arc;

use onceward_reliable_mq::{Broker, DeadDelivery, Message, MessageFilter, Status};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::part::READY;
use super::stage::Stage;
use super::{Surprise, buy, expect, list, notified_within, two_in_stock};
use crate::notify::{QUEUE, TOPIC};

pub(super) async fn play(stage: &mut Stage) -> Result<(), Surprise> {
    stage.title("A message that no handler can read");
    let browser = stage.browser()?;
    let shelf = browser.get("/").await?.ok()?;
    let (sku, _) = two_in_stock(&browser, &list(&shelf, "products")).await?;
    browser.login("alice", "/").await?;
    let account = browser.get("/account").await?.ok()?;
    let user = account["user"]["id"].as_str().ok_or("alice has no id")?;
    let (stores, broker) = (stage.look().await?, stage.broker().await?);

    // As another program would that writes to the same outbox; of the same key as what alice buys next.
    let poison = Message::to(TOPIC).key(user).content_type("text/plain").text("order 7 is confirmed, I think")?;
    let id = stores.outbox.enqueue(&[poison]).await?.pop().ok_or("it has no id")?;
    stage.step("a message on orders.confirmed that is no JSON", &format!("{id}, of the key {user}"));
    let order = buy(&browser, &sku).await?;
    let took = notified_within(&browser, &order, READY).await?;
    stage.step("an order behind it", &format!("{order}: notified {} ms after it", took.as_millis()));

    let dead = parked(&broker).await?;
    expect(dead.envelope.id == id, &format!("another message is parked: {dead:?}"), &Value::Null)?;
    stage.step(
        "the dead letters of the queue notify",
        &format!("{id} on {}: given up after {} attempt: {}", dead.envelope.topic(), dead.failures, dead.reason),
    );
    let sent = stores.outbox.messages(&MessageFilter::of(&id).in_states([Status::Sent])).await?;
    let sent = sent.first().ok_or("the log of the outbox does not know it")?;
    stage.step("the log of the outbox", &format!("{id} {} at attempt {}", sent.status.as_str(), sent.attempts));

    expect(broker.replay(QUEUE, &id).await?, "it was not replayed", &Value::Null)?;
    let again = parked(&broker).await?;
    let order = buy(&browser, &sku).await?;
    notified_within(&browser, &order, READY).await?;
    stage.step("an operator replays it", &format!("parked again: {}; {order} was notified meanwhile", again.reason));
    // Where a new version of the handler reads it, that is all. This one is to go.
    expect(stores.notices.waive(&id).await?, "it was handled before", &Value::Null)?;
    expect(broker.replay(QUEUE, &id).await?, "it was not replayed", &Value::Null)?;
    empty(&broker).await?;
    stage.step(
        "an operator gives it up",
        "written into the inbox as handled and replayed: acknowledged unread, no dead letter is left",
    );
    Ok(())
}

/// The one dead letter, once it is there.
async fn parked(broker: &Arc<dyn Broker>) -> Result<DeadDelivery, Surprise> {
    let since = Instant::now();
    loop {
        let mut dead = broker.dead(QUEUE, 10).await?;
        match (dead.pop(), dead.is_empty()) {
            (Some(one), true) => return Ok(one),
            (None, _) if since.elapsed() < READY => sleep(Duration::from_millis(50)).await,
            (one, _) => return Err(format!("not one dead letter: {one:?} {dead:?}").into()),
        }
    }
}

/// Waits until the queue holds nothing, dead letters included.
async fn empty(broker: &Arc<dyn Broker>) -> Result<(), Surprise> {
    let since = Instant::now();
    loop {
        let depth = broker.depth(QUEUE).await?;
        if depth.open() + depth.dead == 0 && broker.dead(QUEUE, 1).await?.is_empty() {
            return Ok(());
        }
        expect(since.elapsed() < READY, &format!("the queue holds {depth:?}"), &Value::Null)?;
        sleep(Duration::from_millis(50)).await;
    }
}
