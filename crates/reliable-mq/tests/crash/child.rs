//! The service that is killed: producers, relay and consumer in one process, with the embedded broker in a file, or a cluster.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use onceward_backend::{
    Conn,
    internal::{Sql, mark, set_mark_hook},
    sqlite,
};
use onceward_reliable_mq::{
    Broker, Consumer, Envelope, HandlerError, Inbox, Message, Outbox, Relay, RelayOptions, SqliteBroker,
    SqliteBrokerOptions, Subscription, Tx,
};
use tokio_util::sync::CancellationToken;

use crate::place::Place;

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

/// How the place of a broker begins that is a cluster, `kafka:servers/prefix`; any other is a file.
pub const KAFKA: &str = "kafka:";

pub async fn broker(at: &str, instance: &str) -> Arc<dyn Broker> {
    #[cfg(feature = "test-kafka")]
    if let Some((servers, prefix)) = at.strip_prefix(KAFKA).and_then(|at| at.split_once('/')) {
        use onceward_reliable_mq::{KafkaBroker, KafkaOptions, KafkaTopics};
        let options = KafkaOptions::default().with_prefix(prefix).with_topics(KafkaTopics::Automatic);
        return Arc::new(KafkaBroker::new(servers, options.with_session_timeout(Duration::from_secs(4))).unwrap());
    }
    let pool = sqlite::open(at).await.unwrap();
    Arc::new(SqliteBroker::open(pool, SqliteBrokerOptions::default().with_instance(instance)).await.unwrap())
}

pub async fn prepare<D: Place>(url: &str) -> Outbox<D> {
    let outbox = Outbox::<D>::new(D::open(url).await);
    let (mut conn, sql) = (outbox.pool().acquire().await.unwrap(), Sql::<D>::new());
    for create in [
        "create table if not exists orders (id {key} not null)",
        "create table if not exists effect (id {key} not null)",
    ] {
        sql.sql(create).execute(&mut conn).await.unwrap();
    }
    drop(conn);
    outbox.migrate().await.unwrap();
    outbox
}

pub async fn run<D: Place>(url: &str, at: &str, stop_at: &str, producers: usize) {
    STOP_AT.set(stop_at.to_owned()).unwrap();
    set_mark_hook(hook);
    let outbox = prepare::<D>(url).await;
    let broker = broker(at, "child").await;
    let subscription = Subscription::new("notify").topic("orders");
    broker.subscribe(&subscription).await.unwrap();
    let options = RelayOptions::default().with_owner("child").with_lease(Duration::from_secs(3600));
    let relay = Relay::new(outbox.store(), Arc::clone(&broker), options).unwrap();
    let consumer = Consumer::new(broker, subscription, Inbox::<D>::new(outbox.pool().clone()), note);
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

async fn note<D: Place>(mut tx: Tx<D>, message: Envelope) -> Result<(), HandlerError> {
    insert(&mut tx, "insert into effect (id) values (?)", message.id.as_str()).await;
    mark("test.handled");
    Ok(())
}

async fn insert<D: Place>(conn: &mut impl Conn<D>, template: &'static str, id: &str) {
    Sql::<D>::new().sql(template).bind(id).execute(conn).await.unwrap();
}

async fn produce<D: Place>(outbox: Outbox<D>, producer: usize) {
    for number in 0.. {
        let order = outbox
            .transaction(async |mut tx| {
                let message = Message::to("orders").key(format!("customer-{producer}")).text("")?;
                let id = outbox.enqueue(&mut tx, &message).await?;
                insert(&mut tx, "insert into orders (id) values (?)", id.as_str()).await;
                if number > 0 {
                    mark("test.ordered");
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(id)
            })
            .await
            .unwrap();
        println!("order {order}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
