//! SIGKILL at any moment under three buying clients, again and again on the same data.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use testkit::{Exit, Rng};

use crate::support::{SOON, Shop, Visitor, holds, plenty};

const ROUNDS: usize = 5;

/// A client that buys, and what it knows.
struct Buyer {
    visitor: Visitor,
    skus: Vec<String>,
    /// Every order that was answered to it.
    acknowledged: Vec<String>,
    /// The form whose answer never came.
    unanswered: Option<Value>,
}

impl Buyer {
    /// Buys until the shop does not answer any more.
    async fn until_killed(mut self, mut rng: Rng) -> Self {
        while self.purchase(&mut rng).await.is_some() {}
        self
    }

    async fn purchase(&mut self, rng: &mut Rng) -> Option<()> {
        if self.unanswered.is_none() {
            let sku = rng.pick(&self.skus).clone();
            let added = self.visitor.add(&sku, 1).await.ok()?;
            // A cart that is kept busy may ask to come back; a confirm page follows in any case.
            assert!(matches!(added.status, 303 | 503), "{added:?}");
            let page = self.visitor.get("/checkout").await.ok()?;
            match page.status {
                200 => self.unanswered = Some(page.body),
                // Nothing to buy, or the shop is closing.
                409 | 503 => return Some(()),
                other => panic!("{other}"),
            }
        }
        let page = self.unanswered.clone().unwrap();
        let answer = self.visitor.submit(&page).await.ok()?;
        match answer.status {
            303 => {
                self.unanswered = None;
                self.acknowledged.push(answer.location.unwrap());
            }
            // Sent again.
            503 => {}
            other => panic!("nobody else changes this cart: {other} {}", answer.body),
        }
        Some(())
    }

    /// After a restart: what was answered is there, what was not can be sent again, and nothing else is there.
    async fn look(&mut self) {
        let listed = self.visitor.orders().await;
        for order in &self.acknowledged {
            assert!(listed.contains(&order.replace("/orders/", "")), "{order} was acknowledged and is gone");
        }
        if let Some(page) = self.unanswered.take() {
            let order = self.visitor.buy(&page).await;
            assert!(!self.acknowledged.contains(&order), "two forms, one order");
            self.acknowledged.push(order);
        }
        assert_eq!(self.visitor.orders().await.len(), self.acknowledged.len(), "an order that nobody sent");
        for order in &self.acknowledged {
            self.visitor.notified(order).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_clients_buy_while_the_shop_is_killed() {
    let mut rng = Rng::new(testkit::seed());
    for _ in 0..testkit::scale() {
        rounds(&mut rng, End::Kill).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_clients_buy_while_the_shop_is_stopped() {
    rounds(&mut Rng::new(testkit::seed()), End::Stop).await;
}

/// How a round ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Kill,
    Stop,
}

async fn rounds(rng: &mut Rng, end: End) {
    let mut shop = Shop::pinned(None).await;
    let mut buyers = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let skus = (0..12).map(|n| plenty(n).0).collect();
        buyers.push(Buyer { visitor: shop.member(user).await, skus, acknowledged: Vec::new(), unanswered: None });
    }
    for round in 0..ROUNDS {
        let buying: Vec<_> = buyers.drain(..).map(|buyer| tokio::spawn(buyer.until_killed(rng.fork()))).collect();
        // The moment is what is tested, not what is waited for.
        tokio::time::sleep(Duration::from_millis(20 + rng.below(500))).await;
        match end {
            End::Kill => shop.child.kill(),
            End::Stop => assert_eq!(shop.child.terminate(SOON).await, Exit::Code(0)),
        }
        for buyer in join_all(buying).await {
            buyers.push(buyer.unwrap());
        }
        shop = shop.again([]).await;
        for buyer in &mut buyers {
            buyer.look().await;
        }
        let orders: usize = buyers.iter().map(|buyer| buyer.acknowledged.len()).sum();
        println!("round {round}: {orders} orders so far");
        holds(&shop.verify().await);
    }
    let orders: usize = buyers.iter().map(|buyer| buyer.acknowledged.len()).sum();
    assert!(orders > 0, "nothing was tested");
    assert!(shop.child.terminate(SOON).await.success());
    holds(&shop.verify().await);
}
