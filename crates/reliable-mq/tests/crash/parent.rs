//! What is expected of the successor.

use std::time::Duration;

use onceward_backend::internal::Sql;
use onceward_reliable_mq::{Depth, Outbox};
use tempfile::TempDir;
use testkit::Child;

use crate::{child, place::Place};

const SOON: Duration = Duration::from_secs(10);

/// Runs every case on one kind of database; answers how many there are.
pub async fn run<D: Place>() -> u32 {
    let marks = [
        ("test.ordered", "a_kill_between_insert_and_commit_sends_nothing_of_it"),
        ("mq.published", "a_kill_between_publish_and_settle_loses_nothing_and_handles_once"),
        ("test.handled", "a_kill_between_effect_and_commit_handles_once"),
        ("mq.consumer_before_ack", "a_kill_between_commit_and_ack_handles_once"),
    ];
    for (mark, name) in marks {
        killed_at::<D>(mark).await;
        println!("test {}::{name} ... ok", D::DIALECT.name());
    }
    killed_at_random::<D>().await;
    println!("test {}::kills_at_random_times_lose_nothing_and_handle_once ... ok", D::DIALECT.name());
    5
}

/// With a cluster between relay and consumer: what a process had goes to the next when its session is over.
#[cfg(feature = "test-kafka")]
pub async fn run_on_kafka() -> u32 {
    use onceward_backend::sqlx::Sqlite;
    let cluster = rdkafka::mocking::MockCluster::new(1).unwrap();
    let marks = [
        ("test.handled", "a_kill_between_effect_and_commit_handles_once"),
        ("mq.consumer_before_ack", "a_kill_between_commit_and_ack_handles_once"),
    ];
    // Side by side: most of it is waiting for sessions to end.
    let killed = marks.map(async |(mark, name)| {
        let mut fixture = Fixture::<Sqlite>::new().await;
        fixture.broker = format!("{}{}/{}", child::KAFKA, cluster.bootstrap_servers(), testkit::namespace());
        let mut victim = fixture.start(mark, 1);
        victim.wait_for_mark(mark, SOON).await;
        victim.kill();
        fixture.finish().await;
        println!("test kafka::{name} ... ok");
    });
    u32::try_from(futures_util::future::join_all(killed).await.len()).unwrap()
}

/// The database of a service and where its broker is.
struct Fixture<D: Place> {
    _folder: TempDir,
    broker: String,
    url: String,
    outbox: Outbox<D>,
    _database: D::Guard,
}

impl<D: Place> Fixture<D> {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (url, database) = D::fresh(folder.path()).await;
        let outbox = child::prepare::<D>(&url).await;
        let broker = folder.path().join("broker.db").to_str().unwrap().to_owned();
        Self { _folder: folder, broker, url, outbox, _database: database }
    }

    fn start(&self, stop_at: &str, producers: usize) -> Child {
        let program = std::env::current_exe().unwrap();
        let args = ["child", D::DIALECT.name(), &self.url, &self.broker, stop_at, &producers.to_string()];
        Child::of(program).args(args).start()
    }

    /// What the broker has; of a cluster only its consumers can tell.
    async fn queued(&self) -> Option<Depth> {
        if self.broker.starts_with(child::KAFKA) {
            return None;
        }
        Some(child::broker(&self.broker, "parent").await.depth("notify").await.unwrap())
    }

    async fn count(&self, what: &'static str) -> i64 {
        let mut conn = self.outbox.pool().acquire().await.unwrap();
        Sql::<D>::new().sql(what).fetch_one::<(i64,)>(&mut conn).await.unwrap().0
    }

    async fn effects(&self) -> i64 {
        self.count("select count(*) from effect").await
    }

    /// Runs a successor until everything is handled, then checks that each order was handled once.
    async fn finish(&self) {
        let mut successor = self.start("", 0);
        // Sooner than any lease: the successor has the name of the dead process. It handles a hundred messages a second at
        // the least, once a cluster has given it its part.
        let queued = self.queued().await.map_or(0, |depth| depth.open());
        testkit::eventually(SOON * 2 + Duration::from_millis(10 * queued), async || {
            let open = match self.queued().await {
                Some(depth) => depth.open().cast_signed(),
                None => self.count("select (select count(*) from orders) - (select count(*) from effect)").await,
            };
            let waiting = self.count("select (select count(*) from mq_hot) + (select count(*) from mq_delayed)").await;
            if open == 0 && waiting == 0 { Ok(()) } else { Err(format!("{open} queued, {waiting} waiting")) }
        })
        .await;
        successor.kill();
        let orders = self.count("select count(*) from orders").await;
        assert!(orders > 0);
        assert_eq!(self.effects().await, orders, "one effect per order");
        assert_eq!(self.count("select count(distinct id) from effect").await, orders, "of each order");
    }
}

/// One producer, killed at a mark; the successor has none and ends what was begun.
async fn killed_at<D: Place>(mark: &str) {
    let fixture = Fixture::<D>::new().await;
    let mut victim = fixture.start(mark, 1);
    victim.wait_for_mark(mark, SOON).await;
    victim.kill();
    let waiting = fixture.count("select count(*) from mq_hot").await;
    let effects = fixture.effects().await;
    let queued = fixture.queued().await.unwrap();
    match mark {
        "test.ordered" => {
            assert_eq!(fixture.count("select count(*) from orders").await, 1, "the second was not committed");
            assert_eq!(fixture.count("select count(*) from mq_log").await, 1, "nor its message");
        }
        // The consumer goes on while the relay stands still, so it may have it already.
        "mq.published" => assert!(waiting > 0 && (queued.open() > 0 || effects > 0), "published and not written down"),
        "test.handled" => assert!(queued.leased > 0 && effects == 0, "handled and not committed"),
        _ => assert!(queued.leased > 0 && effects > 0, "committed and not acknowledged"),
    }
    fixture.finish().await;
}

async fn killed_at_random<D: Place>() {
    let fixture = Fixture::<D>::new().await;
    let mut random = testkit::Rng::new(testkit::seed());
    let mut acknowledged: Vec<String> = Vec::new();
    for _ in 0..6 * testkit::scale() {
        let mut victim = fixture.start("", 3);
        acknowledged.push(victim.wait_for_line(|line| line.starts_with("order "), SOON).await);
        // Not to wait for anything: the moment of the kill is what is random.
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        victim.kill();
        acknowledged.extend(victim.stdout().into_iter().filter(|line| line.starts_with("order ")));
    }
    fixture.finish().await;
    let mut conn = fixture.outbox.pool().acquire().await.unwrap();
    for line in &acknowledged {
        let handled = Sql::<D>::new()
            .sql("select count(*) from effect where id = ?")
            .bind(line.trim_start_matches("order "))
            .fetch_one::<(i64,)>(&mut conn)
            .await
            .unwrap();
        assert_eq!(handled, (1,), "{line}");
    }
    println!("{}: {} orders acknowledged under random kills", D::DIALECT.name(), acknowledged.len());
}
