//! Kills a real process at the worst moments and looks at what its successor makes of it. Without a test harness: the
//! program is its own child.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod child;
mod parent;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", folder, stop_at, producers] => {
            runtime.block_on(child::run(folder.as_ref(), stop_at, producers.parse().unwrap()));
        }
        _ => runtime.block_on(parent::run()),
    }
}
