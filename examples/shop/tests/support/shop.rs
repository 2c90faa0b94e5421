//! A shop as a process of its own, and the visitors who come to it.

mod html;
mod reply;
mod shared;
mod visitor;

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use shop::catalog::{Catalog, DEFAULT_SEED};
use tempfile::TempDir;
use testkit::{Child, Exit, Launch};

use crate::place::Place;

pub use html::{Form, forms, links};
pub use reply::{Reply, raw, reply, set_cookies};
pub use shared::{Shared, members, shared};
pub use visitor::Visitor;

/// More than a start takes on a busy machine.
pub const READY: Duration = Duration::from_secs(60);
/// More than any answer takes.
pub const SOON: Duration = Duration::from_secs(30);

/// The program, without what the environment of the test would tell it.
pub fn program() -> Launch {
    let mut launch = Child::of(env!("CARGO_BIN_EXE_shop"));
    for name in ["REDIS_URL", "POSTGRES_URL", "MYSQL_URL", "AMQP_URL", "SHOP_NAMESPACE", "SHOP_MARK", "RUST_LOG"] {
        launch = launch.env_remove(name);
    }
    launch
}

/// A folder that goes with the test.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("onceward-shop-test-").tempdir().unwrap()
}

/// Runs the program, without servers, to its end: exit code, standard output, standard error.
pub async fn run<const N: usize>(args: [&str; N]) -> (i32, String, String) {
    ended(program().args(args)).await
}

/// The same with a prepared launch.
pub async fn ended(launch: Launch) -> (i32, String, String) {
    let mut child = launch.start();
    match child.wait(Duration::from_secs(120)).await {
        Exit::Code(code) => (code, child.stdout().join("\n"), child.stderr().join("\n")),
        Exit::Signal(signal) => panic!("ended by signal {signal}"),
    }
}

/// `shop verify --json`: exit code and report.
pub async fn verify(place: &Place) -> (i32, Value) {
    let (code, out, err) = ended(place.launch().args(["verify", "--json", "--data"]).arg(place.path())).await;
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"));
    (code, report)
}

/// Panics unless every invariant holds.
#[track_caller]
pub fn holds(verified: &(i32, Value)) {
    assert!(verified.0 == 0 && verified.1["ok"] == true, "exit {}: {:#}", verified.0, verified.1);
}

/// A running shop; killed when it is dropped.
#[derive(Debug)]
pub struct Shop {
    pub child: Child,
    pub place: Place,
    pub origin: String,
    pub qq: String,
}

impl Shop {
    /// A shop on free ports in a place of its own.
    pub async fn open() -> Self {
        Self::with([]).await
    }

    /// The same with further arguments.
    pub async fn with<const N: usize>(args: [&str; N]) -> Self {
        Self::on(Place::new(), args).await
    }

    /// A shop on free ports that keeps its things there, with further arguments.
    pub async fn on<const N: usize>(place: Place, args: [&str; N]) -> Self {
        let launch = place.launch().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(place.path()).args(args);
        Self::ready(place, launch).await
    }

    /// A shop on ports that it can have again: outside the range from which the system gives ports away. `mark` is the
    /// fail point at which it stops.
    pub async fn pinned(mark: Option<&str>) -> Self {
        let (listen, qq) = (address(pinned_port()), address(pinned_port()));
        let place = Place::new();
        let launch = serve(&place, &listen, &qq);
        let launch = mark.iter().fold(launch, |launch, mark| launch.env("SHOP_MARK", mark));
        Self::ready(place, launch).await
    }

    /// The same on what is there, with further arguments; where it is told to wait, it waits.
    pub async fn pinned_on<const N: usize>(place: Place, args: [&str; N]) -> Self {
        let launch = serve(&place, &address(pinned_port()), &address(pinned_port())).args(args).listening();
        Self::ready(place, launch).await
    }

    async fn ready(place: Place, launch: Launch) -> Self {
        let mut child = launch.start();
        let qq = origin(&mut child, "mini-qq listening on ").await;
        let origin = origin(&mut child, "shop listening on ").await;
        Self { child, place, origin, qq }
    }

    /// SIGKILL, then a start on the same data and ports.
    pub async fn restart(mut self) -> Self {
        self.child.kill();
        self.again([]).await
    }

    /// A start on the same data and ports after the process has ended, with further arguments.
    pub async fn again<const N: usize>(self, args: [&str; N]) -> Self {
        let launch = self.launch().args(args);
        Self::ready(self.place, launch).await
    }

    /// The program, prepared for the same data and ports.
    pub fn launch(&self) -> Launch {
        serve(&self.place, host(&self.origin), host(&self.qq))
    }

    /// Somebody new.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.origin)
    }

    /// Somebody new who has signed in.
    pub async fn member(&self, user: &str) -> Visitor {
        let visitor = self.visitor();
        assert_eq!(visitor.login(user, "/").await.unwrap(), "/");
        visitor
    }

    /// The invariants, beside the running shop.
    pub async fn verify(&self) -> (i32, Value) {
        verify(&self.place).await
    }
}

fn serve(place: &Place, listen: &str, qq: &str) -> Launch {
    place.launch().args(["serve", "--listen", listen, "--mini-qq-listen", qq, "--data"]).arg(place.path())
}

/// `127.0.0.1:8080` of `http://127.0.0.1:8080`.
pub fn host(origin: &str) -> &str {
    origin.strip_prefix("http://").unwrap()
}

async fn origin(child: &mut Child, line: &str) -> String {
    let found = child.wait_for_line(|found| found.starts_with(line), READY).await;
    found.strip_prefix(line).unwrap().to_owned()
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A port below those of other people's free ports and outgoing connections and of services, which may be away for a
/// while; free at this moment.
pub fn pinned_port() -> u16 {
    const FIRST: u16 = 20_000;
    const MANY: u16 = 6_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin at different places.
    let own = u16::try_from(std::process::id() % 60).unwrap() * 100;
    loop {
        let port = FIRST + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % MANY;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The catalogue of a shop without `--seed`.
pub fn catalog() -> Catalog {
    Catalog::seeded(DEFAULT_SEED)
}

/// The `n`th product of which there is plenty: its SKU and its price.
pub fn plenty(n: usize) -> (String, i64) {
    let catalog = catalog();
    let plenty = catalog.products().iter().filter(|product| product.initial_stock >= 200);
    let product = plenty.cycle().nth(n).unwrap();
    (product.sku.clone(), product.price)
}

/// The SKU of which there is none.
pub fn sold_out() -> String {
    catalog().products().iter().find(|product| product.initial_stock == 0).unwrap().sku.clone()
}

/// A SKU that nobody can pay for.
pub fn unaffordable() -> String {
    let dear = |price: i64| price > shop::catalog::OPENING_BALANCE;
    catalog().products().iter().find(|product| dear(product.price) && product.initial_stock > 0).unwrap().sku.clone()
}
