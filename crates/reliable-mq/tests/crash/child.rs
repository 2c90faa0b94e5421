//! The service that is killed: producers, relay and consumer on SQLite files in one process.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use onceward_backend::{
    internal::set_mark_hook,
    sqlite,
    sqlx::{self, Sqlite, SqlitePool},
};
use onceward_reliable_mq::{
    Broker, Consumer, Envelope, HandlerError, Inbox, Message, Outbox, Relay, RelayOptions, SqliteBroker,
    SqliteBrokerOptions, Subscription, Tx,
};
use tokio_util::sync::CancellationToken;

static STOP_AT: OnceLock<String> = OnceLock::new();

/// Says where the process is, and stays there if it was told to.
fn hook(name: &'static str) {
    if STOP_AT.get().is_some_and(|stop| stop == name) {
        println!("mark {name}");
        loop {
            std::thread::park();
        }
    }
}

pub async fn service(folder: &Path) -> SqlitePool {
    sqlite::open(folder.join("service.db")).await.unwrap()
}

pub async fn broker(folder: &Path, instance: &str) -> SqliteBroker {
    let pool = sqlite::open(folder.join("broker.db")).await.unwrap();
    SqliteBroker::open(pool, SqliteBrokerOptions::default().with_instance(instance)).await.unwrap()
}

pub async fn prepare(folder: &Path) -> Outbox<Sqlite> {
    let pool = service(folder).await;
    for table in ["orders", "effect"] {
        let create = sqlx::AssertSqlSafe(format!("create table if not exists {table} (id text not null)"));
        sqlx::query(create).execute(&pool).await.unwrap();
    }
    let outbox = Outbox::<Sqlite>::new(pool);
    outbox.migrate().await.unwrap();
    outbox
}

pub async fn run(folder: &Path, stop_at: &str, producers: usize) {
    STOP_AT.set(stop_at.to_owned()).unwrap();
    set_mark_hook(hook);
    let outbox = prepare(folder).await;
    let broker: Arc<dyn Broker> = Arc::new(broker(folder, "child").await);
    let subscription = Subscription::new("notify").topic("orders");
    broker.subscribe(&subscription).await.unwrap();
    let options = RelayOptions::default().with_owner("child").with_lease(Duration::from_secs(3600));
    let relay = Relay::new(outbox.store(), Arc::clone(&broker), options).unwrap();
    let consumer = Consumer::new(broker, subscription, Inbox::<Sqlite>::new(outbox.pool().clone()), note);
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move { relay.run(stop).await }
    });
    for producer in 0..producers {
        tokio::spawn(produce(outbox.clone(), producer));
    }
    consumer.run(stop).await;
}

async fn note(mut tx: Tx<Sqlite>, message: Envelope) -> Result<(), HandlerError> {
    sqlx::query("insert into effect (id) values (?)").bind(message.id.as_str()).execute(&mut *tx).await?;
    Ok(())
}

async fn produce(outbox: Outbox<Sqlite>, producer: usize) {
    loop {
        let order = outbox
            .transaction(async |mut tx| {
                let message = Message::to("orders").key(format!("customer-{producer}")).text("")?;
                let id = outbox.enqueue(&mut tx, &message).await?;
                sqlx::query("insert into orders (id) values (?)").bind(id.as_str()).execute(&mut *tx).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(id)
            })
            .await
            .unwrap();
        println!("order {order}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
