//! Wake-ups between processes.

use std::time::Duration;

use onceward_backend::sqlx::{self, Pool, Postgres, postgres::PgListener};
use onceward_reliable_mq::{Message, Outbox, SqlStore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(30);

/// A process, as far as the database can see it.
async fn process(url: &str) -> Outbox<Postgres> {
    let outbox = Outbox::new(Pool::connect(url).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox
}

fn at_work(
    store: &SqlStore<Postgres>,
    work: impl AsyncFnOnce(SqlStore<Postgres>, CancellationToken) + 'static,
) -> CancellationToken {
    let (stop, store) = (CancellationToken::new(), store.clone());
    let token = stop.clone();
    tokio::task::spawn_local(async move { work(store, token).await });
    stop
}

async fn rings(outbox: &Outbox<Postgres>) {
    timeout(SOON, outbox.store().arrivals().notified()).await.unwrap();
}

pub async fn what_one_process_announces_wakes_the_relays_of_another() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let database = testkit::postgres::database().await;
            let (producer, relay) = (process(database.url()).await, process(database.url()).await);
            let _announces = at_work(producer.sql_store(), async |store, stop| store.announce(stop).await);
            let listens = at_work(relay.sql_store(), async |store, stop| store.listen(stop).await);
            // Once it listens it rings, since nobody heard what was told before.
            rings(&relay).await;
            for _ in 0..3 {
                let message = Message::to("topic").text("").unwrap();
                producer.store().enqueue(&[message]).await.unwrap();
                rings(&relay).await;
            }
            // Its connection is cut: it rings as soon as it hears again, and hears on.
            let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                        where datname = current_database() and query ilike 'listen %'";
            let killed: i64 = sqlx::query_scalar(kill).fetch_one(producer.pool()).await.unwrap();
            assert_eq!(killed, 1);
            rings(&relay).await;
            producer.wake();
            rings(&relay).await;
            // Told to stop it stops, and gives its connection back.
            listens.cancel();
            testkit::eventually(SOON, async || {
                let idle = relay.pool().num_idle();
                if idle == relay.pool().size() as usize { Ok(()) } else { Err(format!("{idle} are idle")) }
            })
            .await;
        })
        .await;
}

pub async fn a_burst_is_told_a_few_times_and_its_end_is_told() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let database = testkit::postgres::database().await;
            let producer = process(database.url()).await;
            let mut listener = PgListener::connect(database.url()).await.unwrap();
            listener.listen("onceward_mq").await.unwrap();
            let _announces = at_work(producer.sql_store(), async |store, stop| store.announce(stop).await);
            for _ in 0..1_000 {
                producer.wake();
                tokio::task::yield_now().await;
            }
            let mut told = 0;
            while timeout(Duration::from_secs(2), listener.recv()).await.is_ok() {
                told += 1;
            }
            assert!((1..100).contains(&told), "{told} times");
            producer.wake();
            timeout(SOON, listener.recv()).await.unwrap().unwrap();
        })
        .await;
}
