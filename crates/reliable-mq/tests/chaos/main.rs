//! Producers, relays and consumers on real servers, which are killed, paused and cut off in the middle of it, while the servers
//! crash, fall short of memory and have their clocks set: an auditor who knows nothing of how it came about finds nothing lost,
//! repeated in its effects or out of order. Without a test harness: the program is its own child.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a test program"
)]

mod audit;
mod auditor;
mod child;
#[path = "../cases/clock.rs"]
mod clock;
mod crowd;
mod forgeries;
mod parent;
mod place;
mod server;
mod tally;

#[cfg(feature = "test-mysql")]
use onceward_backend::sqlx::MySql;
use onceward_backend::sqlx::Postgres;
use place::{Role, Route};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        if let [child, database, role, number, seed, route @ ..] = &args[..]
            && child == "child"
        {
            let (role, route) = (Role::of(role), Route::of(route));
            let [number, seed] = [number, seed].map(|text| text.parse().unwrap());
            return match database.as_str() {
                "postgres" => child::run::<Postgres>(role, &route, number, seed).await,
                #[cfg(feature = "test-mysql")]
                "mysql" => child::run::<MySql>(role, &route, number, seed).await,
                other => panic!("no database {other}"),
            };
        }
        let passed = forgeries::run::<Postgres>().await + parent::run::<Postgres>().await;
        #[cfg(feature = "test-mysql")]
        let passed = passed + parent::run::<MySql>().await;
        println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    });
}
