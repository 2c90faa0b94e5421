//! A shop on servers, three buyers, and one server at a time that fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{Proxy, Rng, Service, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::buyer::{ANSWER, BACK, Buyer, Seen};
use crate::place::{NAMES, Place};
use crate::support::{SOON, Shop, Visitor, holds, reply};

/// Dropped in this order: a service that is away comes back before the shop's databases are removed.
pub struct Scene {
    pub service: Service,
    pub shop: Shop,
    /// In front of Redis, PostgreSQL, MariaDB and RabbitMQ, if asked for.
    pub proxies: Vec<Proxy>,
    buying: Vec<JoinHandle<Buyer>>,
    seen: Vec<Arc<Seen>>,
    stop: CancellationToken,
    begun: Instant,
}

impl Scene {
    /// Everything works and everybody buys; `service` is the one that will fail.
    pub async fn with(service: &str) -> Self {
        let service = Service::named(service).await;
        Self::begin(service, Shop::open().await, Vec::new()).await
    }

    /// The same on wires that can be spoilt.
    pub async fn behind_proxies() -> Self {
        // Nothing is halted; but nobody else may do so meanwhile.
        let service = Service::named("redis").await;
        let mut proxies = Vec::new();
        for name in NAMES {
            proxies.push(Proxy::in_front_of(&testkit::url(name)).await);
        }
        let urls = [0, 1, 2, 3].map(|n: usize| proxies[n].url().to_owned());
        Self::begin(service, Shop::on(Place::at(urls), []).await, proxies).await
    }

    async fn begin(service: Service, shop: Shop, proxies: Vec<Proxy>) -> Self {
        let (mut rng, stop) = (Rng::new(testkit::seed()), CancellationToken::new());
        let (mut buying, mut seen) = (Vec::new(), Vec::new());
        for user in ["alice", "bob", "carol"] {
            let buyer = Buyer::new(shop.member(user).await, user, rng.fork());
            seen.push(Arc::clone(&buyer.seen));
            buying.push(tokio::spawn(buyer.until(stop.clone())));
        }
        let scene = Self { service, shop, proxies, buying, seen, stop, begun: Instant::now() };
        scene.orders(3).await;
        scene
    }

    /// Until each buyer has so many orders more.
    pub async fn orders(&self, more: usize) {
        self.each(more, |seen| &seen.orders, "orders").await;
    }

    /// Until each buyer was told to come back.
    pub async fn refusals(&self) {
        self.each(1, |seen| &seen.refusals, "refusals").await;
    }

    async fn each(&self, more: usize, count: impl Fn(&Seen) -> &AtomicUsize, what: &str) {
        let now = || self.seen.iter().map(|seen| count(seen).load(Ordering::SeqCst)).collect::<Vec<_>>();
        let before = now();
        eventually(BACK, async || {
            assert!(!self.buying.iter().any(JoinHandle::is_finished), "a buyer has given up; see above");
            let now = now();
            let enough = now.iter().zip(&before).all(|(now, before)| now - before >= more);
            let submitted = || self.seen.iter().map(|seen| seen.submitted.lock().unwrap().clone()).collect::<Vec<_>>();
            if enough { Ok(()) } else { Err(format!("{what}: {now:?} after {before:?}; {:#?}", submitted())) }
        })
        .await;
        self.note(what);
    }

    /// What a reader of the output wants to know: how long things took.
    fn note(&self, what: &str) {
        println!("{:5.1} s: {what}", self.begun.elapsed().as_secs_f32());
    }

    /// All orders that were answered so far.
    pub fn ordered(&self) -> usize {
        self.seen.iter().map(|seen| seen.orders.load(Ordering::SeqCst)).sum()
    }

    /// `/readyz` names these within a few seconds, and each of its answers comes at once.
    pub async fn down(&self, parts: &[&str]) {
        let visitor = self.shop.visitor();
        eventually(Duration::from_secs(5), async || {
            let ready = self.ready(&visitor).await?;
            let named: BTreeSet<_> = ready.strip_prefix("down: ").unwrap_or("").split(", ").collect();
            if named == parts.iter().copied().collect() { Ok(()) } else { Err(ready) }
        })
        .await;
        self.note("named as down");
    }

    /// `/readyz` is content again.
    pub async fn well(&self) {
        let visitor = self.shop.visitor();
        eventually(BACK, async || match self.ready(&visitor).await?.as_str() {
            "ok" => Ok(()),
            down => Err(down.to_owned()),
        })
        .await;
        self.note("ready");
    }

    async fn ready(&self, visitor: &Visitor) -> Result<String, String> {
        let asked = Instant::now();
        let ready = reply(visitor.json("GET", "/readyz")).await;
        assert!(asked.elapsed() < Duration::from_secs(3), "/readyz took {:?}", asked.elapsed());
        if ready.status == 200 {
            return Ok("ok".to_owned());
        }
        ready.problem(503);
        Ok(ready.json()["detail"].as_str().unwrap().to_owned())
    }

    /// A person who comes by sees a page: what was asked for, or what is wrong and what to do.
    pub async fn shows_pages(&self, expected: u16) {
        let person = self.shop.visitor();
        let visits = ["/", "/cart", "/search?q=a"].map(|path| {
            let page = reply(person.html("GET", path));
            async move {
                let asked = Instant::now();
                page.await.page(expected);
                assert!(asked.elapsed() < ANSWER, "{path}: {:?}", asked.elapsed());
            }
        });
        join_all(visits).await;
        self.note("pages");
    }

    /// Everybody goes home, and the books are looked at: nothing lost, nothing twice, everybody told once, by the process
    /// that there was from the start.
    pub async fn ends(mut self) {
        self.stop.cancel();
        let mut orders = 0;
        for buying in self.buying.drain(..) {
            orders += buying.await.unwrap().looks_back().await;
        }
        let refusals: usize = self.seen.iter().map(|seen| seen.refusals.load(Ordering::SeqCst)).sum();
        self.note(&format!("all forms sent again; {orders} orders, {refusals} refusals"));
        let sent = self.shop.place.notifications().await;
        assert_eq!(usize::try_from(sent).unwrap(), orders, "one notification each");
        holds(&self.shop.verify().await);
        assert_eq!(self.shop.child.try_exit(), None, "the shop was never restarted");
        assert!(self.shop.child.terminate(SOON).await.success());
        holds(&self.shop.verify().await);
        self.note("verified");
    }
}
