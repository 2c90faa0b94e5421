//! What is expected of the successor.

use std::{path::Path, time::Duration};

use onceward_backend::sqlx;
use onceward_reliable_mq::Broker;
use testkit::Child;

use crate::child;

const SOON: Duration = Duration::from_secs(10);

pub async fn run() {
    killed_at("mq.published").await;
    println!("test a_kill_between_publish_and_settle_loses_nothing_and_handles_once ... ok");
    killed_at("mq.consumer_before_ack").await;
    println!("test a_kill_between_commit_and_ack_handles_once ... ok");
    killed_at_random().await;
    println!("test kills_at_random_times_lose_nothing_and_handle_once ... ok");
    println!("\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

fn start(folder: &Path, stop_at: &str, producers: usize) -> Child {
    let program = std::env::current_exe().unwrap();
    Child::of(program).args(["child", folder.to_str().unwrap(), stop_at, &producers.to_string()]).start()
}

async fn count(folder: &Path, what: &'static str) -> i64 {
    let pool = child::service(folder).await;
    let count = sqlx::query_scalar(what).fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

/// One producer, killed at a mark; the successor has none and ends what was begun.
async fn killed_at(mark: &str) {
    let folder = tempfile::tempdir().unwrap();
    child::prepare(folder.path()).await;
    let mut victim = start(folder.path(), mark, 1);
    victim.wait_for_mark(mark, SOON).await;
    victim.kill();
    let waiting = count(folder.path(), "select count(*) from mq_hot").await;
    let queued = child::broker(folder.path(), "parent").await.depth("notify").await.unwrap();
    match mark {
        // The consumer goes on while the relay stands still, so it may have it already.
        "mq.published" => {
            let arrived = queued.open() > 0 || count(folder.path(), "select count(*) from effect").await > 0;
            assert!(waiting > 0 && arrived, "published and not yet written down");
        }
        _ => assert!(queued.leased > 0, "handled and not yet acknowledged"),
    }
    finish(folder.path()).await;
}

async fn killed_at_random() {
    let folder = tempfile::tempdir().unwrap();
    child::prepare(folder.path()).await;
    let mut random = testkit::Rng::new(testkit::seed());
    let mut acknowledged: Vec<String> = Vec::new();
    for _ in 0..6 * testkit::scale() {
        let mut victim = start(folder.path(), "", 3);
        acknowledged.push(victim.wait_for_line(|line| line.starts_with("order "), SOON).await);
        // Not to wait for anything: the moment of the kill is what is random.
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        victim.kill();
        acknowledged.extend(victim.stdout().into_iter().filter(|line| line.starts_with("order ")));
    }
    finish(folder.path()).await;
    let pool = child::service(folder.path()).await;
    for line in &acknowledged {
        let handled: i64 = sqlx::query_scalar("select count(*) from effect where id = ?")
            .bind(line.trim_start_matches("order "))
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(handled, 1, "{line}");
    }
    println!("{} orders acknowledged under random kills", acknowledged.len());
}

/// Runs a successor until everything is handled, then checks that each order was handled once.
async fn finish(folder: &Path) {
    let mut successor = start(folder, "", 0);
    // Sooner than any lease: the successor has the name of the dead process.
    testkit::eventually(SOON, async || {
        let open = child::broker(folder, "parent").await.depth("notify").await.unwrap().open();
        let waiting = count(folder, "select (select count(*) from mq_hot) + (select count(*) from mq_delayed)").await;
        if open == 0 && waiting == 0 { Ok(()) } else { Err(format!("{open} queued, {waiting} waiting")) }
    })
    .await;
    successor.kill();
    let orders = count(folder, "select count(*) from orders").await;
    assert!(orders > 0);
    assert_eq!(count(folder, "select count(*) from effect").await, orders, "one effect per order");
    assert_eq!(count(folder, "select count(distinct id) from effect").await, orders, "of each order");
}
