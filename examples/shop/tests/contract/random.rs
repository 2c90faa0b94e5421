//! Random visitors doing random things at the same time; then everything adds up.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::Value;
use testkit::Rng;

use crate::support::{Shop, Visitor, holds, plenty, sold_out, unaffordable};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const OPERATIONS: usize = 80;

/// One browser and what it remembers.
struct Life {
    visitor: Visitor,
    user: Option<&'static str>,
    skus: Vec<String>,
    pages: Vec<(&'static str, Value)>,
    orders: BTreeSet<(&'static str, String)>,
}

impl Life {
    async fn step(&mut self, rng: &mut Rng) {
        let sku = rng.pick(&self.skus).clone();
        match rng.below(20) {
            0..5 => {
                let form = [
                    ("sku", sku.as_str()),
                    ("quantity", *rng.pick(&["1", "1", "1", "1", "2", "2", "2", "3", "3", "5", "0", "998"])),
                ];
                self.expect(&self.visitor.write("/cart/lines", &form).await, &[303, 422]);
            }
            5 => self.empty().await,
            6..8 => {
                let key = self.visitor.line(&sku).await["key"].as_str().unwrap_or("nothing").to_owned();
                let fields =
                    [("quantity", "0"), ("quantity", "3"), ("checked", "0"), ("checked", "1"), ("quantity", "x")];
                let answer = self.visitor.write(&format!("/cart/lines/{key}"), &[*rng.pick(&fields)]).await;
                self.expect(&answer, &[303, 404, 422]);
            }
            8..10 => self.look().await,
            10..16 => {
                if rng.chance(0.6) {
                    self.look().await;
                }
                self.submit(rng).await;
            }
            16 => {
                let user = *rng.pick(&USERS);
                assert_eq!(self.visitor.login(user, "/cart").await.unwrap(), "/cart");
                self.user = Some(user);
            }
            17 if rng.chance(0.5) => {
                self.expect(&self.visitor.write("/logout", &[]).await, &[303]);
                self.user = None;
            }
            _ => {
                for path in ["/", "/cart", "/orders", "/wallet", "/account"] {
                    let status = self.visitor.get(path).await.unwrap().status;
                    assert!(status == 200 || (status == 401 && self.user.is_none()), "{path}: {status}");
                }
            }
        }
    }

    /// Takes everything out of the cart. Another browser of the same user may be quicker.
    async fn empty(&self) {
        for (sku, _) in self.visitor.lines().await {
            let key = self.visitor.line(&sku).await["key"].as_str().unwrap_or("nothing").to_owned();
            let answer = self.visitor.write(&format!("/cart/lines/{key}"), &[("quantity", "0")]).await;
            self.expect(&answer, &[303, 404]);
        }
    }

    /// Opens the confirm page, if there is something to confirm.
    async fn look(&mut self) {
        let page = self.visitor.get("/checkout").await.unwrap();
        match (page.status, self.user) {
            (200, Some(user)) => self.pages.push((user, page.body)),
            (409, Some(_)) | (401, None) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Sends one of the confirm pages seen so far, perhaps an old one, perhaps another user's.
    async fn submit(&mut self, rng: &mut Rng) {
        if self.pages.is_empty() {
            return;
        }
        // The newest page has the best chances; the older ones are there to be refused.
        let newest = self.pages.last().cloned();
        let (owner, page) = if rng.chance(0.6) { newest.unwrap() } else { rng.pick(&self.pages).clone() };
        let answer = self.visitor.write("/checkout", &[("order_token", page["order_token"].as_str().unwrap())]).await;
        match (answer.status, self.user) {
            (303, Some(user)) => {
                assert_eq!(owner, user, "another user's token");
                self.orders.insert((user, answer.location().to_owned()));
            }
            // What cannot be bought does not stay in the cart for ever.
            (409, Some(_)) if rng.chance(0.5) => self.empty().await,
            (401, None) | (409 | 503, Some(_)) => {}
            other => panic!("{other:?} {}", answer.text),
        }
    }

    #[track_caller]
    fn expect(&self, answer: &crate::support::Reply, statuses: &[u16]) {
        assert!(statuses.contains(&answer.status), "{:?}: {} {}", self.user, answer.status, answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_visitors_leave_the_books_balanced() {
    let mut rng = Rng::new(testkit::seed());
    let shop = Shop::open().await;
    let lives = (0..6).map(|_| {
        let (visitor, mut rng) = (shop.visitor(), rng.fork());
        let skus = (0..18).map(|n| plenty(n % 3).0).chain([sold_out(), unaffordable()]).collect();
        tokio::spawn(async move {
            let mut life = Life { visitor, user: None, skus, pages: Vec::new(), orders: BTreeSet::new() };
            for _ in 0..OPERATIONS * testkit::scale() {
                life.step(&mut rng).await;
            }
            life.orders
        })
    });
    let mut acknowledged: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for life in join_all(lives).await {
        for (user, order) in life.unwrap() {
            acknowledged.entry(user).or_default().insert(order.replace("/orders/", ""));
        }
    }
    let orders: usize = acknowledged.values().map(BTreeSet::len).sum();
    assert!(orders > 0, "nothing was tested");
    for user in USERS {
        let visitor = shop.member(user).await;
        let listed: BTreeSet<_> = visitor.orders().await.into_iter().collect();
        assert_eq!(
            listed,
            acknowledged.remove(user).unwrap_or_default(),
            "every order of {user} was answered to somebody"
        );
        for order in listed {
            visitor.notified(&format!("/orders/{order}")).await;
        }
    }
    holds(&shop.verify().await);
}
