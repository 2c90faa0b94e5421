//! A bank over four databases, whose services are killed, paused and cut off in the middle of their transfers: no money is
//! made or lost. Without a test harness: the program is its own child.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a test program"
)]

mod auditor;
mod child;
mod crowd;
mod marks;
mod parent;
mod place;
mod tally;

use place::{Route, Store};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        if let [child, number, seed, clients, route @ ..] = &args[..]
            && child == "child"
        {
            let [number, seed, clients] = [number, seed, clients].map(|text| text.parse().unwrap());
            return child::run(&Route::of(route), number, seed, clients).await;
        }
        for (store, name) in [
            (Store::Server, "with_a_coordinator_in_postgresql_no_money_is_made_or_lost"),
            (Store::File, "with_a_coordinator_in_a_file_no_money_is_made_or_lost"),
        ] {
            parent::run(store).await;
            println!("test {name} ... ok");
        }
        println!("\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    });
}
