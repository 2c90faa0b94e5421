//! The shop stops at a fail point while it places one order, and is killed there.

use serde_json::Value;

use crate::support::{SOON, Shop, Visitor, holds, plenty, reply};

/// One buyer and the order that never was answered.
struct Scene {
    shop: Shop,
    buyer: Visitor,
    confirm: Value,
    balance: i64,
    stock: i64,
}

fn bought() -> Vec<(String, i64)> {
    let mut lines = vec![(plenty(0).0, 2), (plenty(1).0, 1)];
    lines.sort();
    lines
}

fn all() -> Vec<(String, i64)> {
    let mut lines = bought();
    lines.push((plenty(2).0, 4));
    lines.sort();
    lines
}

impl Scene {
    async fn killed_at(mark: &str) -> Self {
        let shop = Shop::pinned(Some(mark)).await;
        let buyer = shop.member("alice").await;
        for (sku, quantity) in all() {
            buyer.put(&sku, u32::try_from(quantity).unwrap()).await;
        }
        buyer.check(&plenty(2).0, false).await;
        let balance = buyer.read("/wallet").await["balance"].as_i64().unwrap();
        let stock = stock(&buyer).await;
        let confirm = buyer.confirm().await;
        let submit = tokio::spawn({
            let (buyer, confirm) = (buyer.clone(), confirm.clone());
            async move { buyer.submit(&confirm).await.map(|answer| answer.status).map_err(|error| error.to_string()) }
        });
        let mut shop = shop;
        shop.child.wait_for_mark(mark.split(':').next().unwrap(), SOON).await;
        shop.child.kill();
        // Answered or not: whoever sent the form cannot know more than that.
        submit.await.unwrap().ok();
        Self { shop, buyer, confirm, balance, stock }
    }

    /// The next start.
    async fn restarted(self) -> Self {
        Self { shop: self.shop.again([]).await, ..self }
    }

    /// The next start, which gets as far as `mark` and is killed there.
    async fn killed_again_at(mut self, mark: &str) -> Self {
        self.shop.child = self.shop.launch().env("SHOP_MARK", mark).start();
        self.shop.child.wait_for_mark(mark.split(':').next().unwrap(), SOON).await;
        self.shop.child.kill();
        self
    }

    fn total(&self) -> i64 {
        self.confirm["total"].as_i64().unwrap()
    }

    /// Before anybody asks again, the restarted shop shows no trace of an order.
    async fn shows_nothing(&self) {
        assert_eq!(self.buyer.orders().await, Vec::<String>::new(), "an order that was never decided is shown");
        assert_eq!(self.buyer.lines().await, all(), "its lines are still in the cart");
        let wallet = self.buyer.read("/wallet").await;
        assert_eq!(wallet["balance"], self.balance);
        assert_eq!(wallet["ledger"].as_array().unwrap().len(), 0);
        assert_eq!(stock(&self.buyer).await, self.stock);
        holds(&self.shop.verify().await);
    }

    /// Before anybody asks again, the restarted shop shows the whole order.
    async fn shows_the_order(&self) {
        let orders = self.buyer.orders().await;
        assert_eq!(orders.len(), 1, "an order that was decided is missing");
        assert_eq!(self.buyer.lines().await, [(plenty(2).0, 4)], "its lines have left the cart");
        self.is_paid(&orders[0]).await;
        self.buyer.notified(&format!("/orders/{}", orders[0])).await;
        holds(&self.shop.verify().await);
    }

    async fn is_paid(&self, order: &str) {
        let wallet = self.buyer.read("/wallet").await;
        assert_eq!(wallet["balance"], self.balance - self.total());
        assert_eq!(wallet["ledger"], serde_json::json!([{ "ref": order, "amount": -self.total() }]));
        assert_eq!(stock(&self.buyer).await, self.stock - 2);
    }

    /// The form of the killed request, sent again and again, is one order.
    async fn becomes_one_order(mut self) {
        let order = self.buyer.buy(&self.confirm).await;
        for _ in 0..3 {
            assert_eq!(self.buyer.buy(&self.confirm).await, order);
        }
        let id = order.strip_prefix("/orders/").unwrap();
        assert_eq!(self.buyer.orders().await, [id]);
        assert_eq!(self.buyer.lines().await, [(plenty(2).0, 4)]);
        self.is_paid(id).await;
        self.buyer.notified(&order).await;
        holds(&self.shop.verify().await);
        assert_eq!(self.shop.place.notifications().await, 1);
        // The shop as a whole goes on.
        self.buyer.check(&plenty(2).0, true).await;
        let next = self.buyer.buy(&self.buyer.confirm().await).await;
        self.buyer.notified(&next).await;
        assert_eq!(reply(self.buyer.json("GET", "/readyz")).await.status, 200);
        assert!(self.shop.child.terminate(SOON).await.success());
        holds(&self.shop.verify().await);
        assert_eq!(self.shop.place.notifications().await, 2);
    }
}

async fn stock(buyer: &Visitor) -> i64 {
    buyer.read(&format!("/p/{}", plenty(0).0)).await["stock"].as_i64().unwrap()
}

/// Killed at `mark` before anything was decided: nothing of the order is left.
async fn undecided(mark: &str) {
    let scene = Scene::killed_at(mark).await.restarted().await;
    scene.shows_nothing().await;
    scene.becomes_one_order().await;
}

/// Killed at `mark` after the decision: the order stands, whole.
async fn decided(mark: &str) {
    let scene = Scene::killed_at(mark).await.restarted().await;
    scene.shows_the_order().await;
    scene.becomes_one_order().await;
}

#[tokio::test]
async fn with_the_token_claimed_and_nothing_done() {
    undecided("idempotency.token_claimed").await;
}

#[tokio::test]
async fn after_the_first_local_commit() {
    undecided("dtx.branch_committed:1").await;
}

#[tokio::test]
async fn after_the_second_local_commit() {
    undecided("dtx.branch_committed:2").await;
}

#[tokio::test]
async fn after_the_last_local_commit() {
    undecided("dtx.branch_committed:3").await;
}

#[tokio::test]
async fn before_the_decision() {
    undecided("dtx.before_decision").await;
}

#[tokio::test]
async fn after_the_decision() {
    decided("dtx.decided").await;
}

#[tokio::test]
async fn in_the_middle_of_the_second_phase() {
    decided("dtx.phase_two:1").await;
    decided("dtx.phase_two:2").await;
}

#[tokio::test]
async fn after_the_message_was_published_and_before_that_was_noted() {
    decided("mq.published").await;
}

#[tokio::test]
async fn after_the_message_was_handled_and_before_that_was_acknowledged() {
    decided("mq.consumer_before_ack").await;
}

#[tokio::test]
async fn after_the_token_was_spent() {
    decided("idempotency.token_completed").await;
}

#[tokio::test]
async fn what_is_not_decided_is_not_shown_and_a_repeat_waits_for_it() {
    let shop = Shop::pinned(Some("dtx.before_decision")).await;
    let buyer = shop.member("alice").await;
    let other = shop.member("bob").await;
    for (sku, quantity) in bought() {
        buyer.put(&sku, u32::try_from(quantity).unwrap()).await;
    }
    let balance = buyer.read("/wallet").await["balance"].clone();
    let confirm = buyer.confirm().await;
    let submit = tokio::spawn({
        let (buyer, confirm) = (buyer.clone(), confirm.clone());
        async move { buyer.submit(&confirm).await.ok().map(|answer| answer.status) }
    });
    let mut shop = shop;
    shop.child.wait_for_mark("dtx.before_decision", SOON).await;

    assert_eq!(buyer.orders().await, Vec::<String>::new());
    let wallet = buyer.read("/wallet").await;
    assert_eq!((&wallet["balance"], &wallet["ledger"]), (&balance, &serde_json::json!([])));
    assert_eq!(buyer.lines().await, bought());
    other.put(&plenty(5).0, 1).await;
    other.confirm().await;

    let form = [("csrf", confirm["csrf"].as_str().unwrap()), ("order_token", confirm["order_token"].as_str().unwrap())];
    let asked = std::time::Instant::now();
    let repeat = reply(buyer.json("POST", "/checkout").form(&form)).await;
    repeat.problem(503);
    assert!(asked.elapsed().as_secs() <= 10, "{:?}", asked.elapsed());
    assert_ne!(repeat.header("retry-after"), "");

    shop.child.kill();
    // The first one was still waiting, or was told that it takes too long.
    assert!(matches!(submit.await.unwrap(), None | Some(503)));
    let shop = shop.again([]).await;
    assert_eq!((buyer.orders().await.len(), buyer.lines().await), (0, bought()));
    let order = buyer.buy(&confirm).await;
    assert_eq!(buyer.orders().await, [order.replace("/orders/", "")]);
    holds(&shop.verify().await);
}

#[tokio::test]
async fn a_start_that_still_undoes_it_is_not_ready() {
    let mut scene = Scene::killed_at("dtx.before_decision").await;
    scene.shop.child = scene.shop.launch().env("SHOP_MARK", "dtx.phase_two").start();
    scene.shop.child.wait_for_mark("dtx.phase_two", SOON).await;
    let ready = reply(scene.buyer.json("GET", "/readyz")).await;
    ready.problem(503);
    assert_eq!(reply(scene.buyer.request("GET", "/healthz")).await.status, 200);
    assert!(!scene.shop.child.stdout().iter().any(|line| line.starts_with("shop listening on ")));
    scene.shop.child.kill();
    scene.restarted().await.shows_nothing().await;
}

#[tokio::test]
async fn and_again_while_the_next_start_undoes_it() {
    let scene = Scene::killed_at("dtx.before_decision").await;
    let scene = scene.killed_again_at("dtx.phase_two:1").await.killed_again_at("dtx.phase_two:1").await;
    let scene = scene.restarted().await;
    scene.shows_nothing().await;
    scene.becomes_one_order().await;
}

#[tokio::test]
async fn and_again_while_the_next_start_completes_it() {
    let scene = Scene::killed_at("dtx.decided").await.killed_again_at("dtx.phase_two:2").await;
    let scene = scene.killed_again_at("mq.published").await.restarted().await;
    scene.shows_the_order().await;
    scene.becomes_one_order().await;
}

#[tokio::test]
async fn a_verify_before_the_next_start_settles_it_as_the_start_would() {
    let scene = Scene::killed_at("dtx.branch_committed:2").await;
    holds(&scene.shop.verify().await);
    let scene = scene.restarted().await;
    scene.shows_nothing().await;
    scene.becomes_one_order().await;

    let scene = Scene::killed_at("dtx.decided").await;
    holds(&scene.shop.verify().await);
    assert_eq!(scene.shop.place.notifications().await, 1);
    let scene = scene.restarted().await;
    scene.shows_the_order().await;
    scene.becomes_one_order().await;
}
