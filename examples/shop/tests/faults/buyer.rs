//! A client that buys whatever happens, keeps every form that it sent, and knows what was answered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::Value;
use testkit::{Rng, eventually};
use tokio_util::sync::CancellationToken;

use crate::support::{Reply, Visitor, plenty, reply};

/// No answer takes longer, whatever is broken behind the shop: 10 s, and what a busy machine adds.
pub const ANSWER: Duration = Duration::from_millis(10_500);

/// Until everything is as if nothing had been. An order whose outcome nobody heard keeps the claim on its form for its
/// lease, and then a sweep ends it: 40 s.
pub const BACK: Duration = Duration::from_secs(60);

/// What a buyer has met so far, for those who wait for it.
#[derive(Debug, Default)]
pub struct Seen {
    pub orders: AtomicUsize,
    pub refusals: AtomicUsize,
    /// The newest answer to an order form: whose, and what it said.
    pub submitted: Mutex<String>,
}

/// A confirm page that was submitted, and the order that was answered.
struct Sent {
    page: Value,
    order: Option<String>,
}

pub struct Buyer {
    visitor: Visitor,
    user: &'static str,
    rng: Rng,
    sent: Vec<Sent>,
    /// The last form has no answer yet.
    open: bool,
    pub seen: Arc<Seen>,
}

impl Buyer {
    pub fn new(visitor: Visitor, user: &'static str, rng: Rng) -> Self {
        Self { visitor, user, rng, sent: Vec::new(), open: false, seen: Arc::default() }
    }

    pub async fn until(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            self.purchase().await;
            // Visitors think; and what is not bought now is stock for later.
            tokio::time::sleep(Duration::from_millis(50 + self.rng.below(100))).await;
        }
        self
    }

    async fn purchase(&mut self) {
        if !self.open {
            let Some(cart) = self.read("/cart").await else { return };
            let sku = plenty(usize::try_from(self.rng.below(12)).unwrap()).0;
            let fields = [("csrf", cart["csrf"].as_str().unwrap()), ("sku", &sku)];
            // Added or not: the confirm page says what there is.
            self.ask(self.visitor.json("POST", "/cart/lines").form(&fields)).await;
            let Some(page) = self.read("/checkout").await else { return };
            self.sent.push(Sent { page, order: None });
            self.open = true;
        }
        let page = &self.sent.last().unwrap().page;
        let answer = self.submit(page).await;
        *self.seen.submitted.lock().unwrap() = format!("{}: {} {}", self.user, answer.status, answer.text);
        match answer.status {
            303 => {
                self.sent.last_mut().unwrap().order = Some(answer.location().to_owned());
                self.seen.orders.fetch_add(1, Ordering::SeqCst);
                self.open = false;
            }
            // A change of the cart whose answer was late has overtaken the page.
            409 => self.open = false,
            // To be sent again.
            _ => {}
        }
    }

    async fn submit(&self, page: &Value) -> Reply {
        let field = |name: &str| page[name].as_str().unwrap().to_owned();
        let form = [("csrf", field("csrf")), ("order_token", field("order_token"))];
        self.ask(self.visitor.json("POST", "/checkout").form(&form)).await
    }

    async fn read(&self, path: &str) -> Option<Value> {
        let answer = self.ask(self.visitor.json("GET", path)).await;
        (answer.status == 200).then(|| answer.json())
    }

    /// Any answer is in time, and is what was asked for, a refusal with a reason, or a 503 that says so.
    async fn ask(&self, request: RequestBuilder) -> Reply {
        let asked = Instant::now();
        let answer = reply(request).await;
        let took = asked.elapsed();
        assert!(took <= ANSWER, "{} was answered {} after {took:?}: {}", self.user, answer.status, answer.text);
        match answer.status {
            200 | 303 => {}
            409 => answer.problem(409),
            _ => {
                answer.problem(503);
                assert_ne!(answer.header("retry-after"), "", "{}", answer.text);
                self.seen.refusals.fetch_add(1, Ordering::SeqCst);
            }
        }
        answer
    }

    /// Once all is well again: each form, sent again, gives the order that it gave before, or none if it gave none; and
    /// there is no other order. Answers how many orders there are.
    pub async fn looks_back(&self) -> usize {
        let mut orders = BTreeSet::new();
        for sent in &self.sent {
            let again = eventually(BACK, async || {
                let again = self.submit(&sent.page).await;
                if again.status == 503 { Err(again.text) } else { Ok(again) }
            })
            .await;
            match (&sent.order, again.status) {
                (Some(order), _) => again.see_other(order),
                // The last form, which nobody had answered.
                (None, 303) => {}
                (None, _) => {
                    again.problem(409);
                    continue;
                }
            }
            let order = again.location().strip_prefix("/orders/").unwrap().to_owned();
            assert!(orders.insert(order.clone()), "{order} is of two forms");
        }
        let listed = self.visitor.orders().await;
        assert_eq!(listed.len(), orders.len(), "{listed:?}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), orders);
        for order in &orders {
            self.visitor.notified(&format!("/orders/{order}")).await;
        }
        orders.len()
    }
}
