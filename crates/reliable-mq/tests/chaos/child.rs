//! The processes that are killed: each says what it has done.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    Conn, ErrorClass, RetryPolicy,
    internal::{Sql, mark, set_mark_hook},
    sqlx::Pool,
};
use onceward_reliable_mq::{
    Broker, Consumer, ConsumerOptions, Envelope, Error, HandlerError, Inbox, Message, Outbox, RabbitMqBroker,
    RabbitMqOptions, Relay, RelayOptions, Subscription, Tx,
};
use testkit::{Marks, Rng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    place::{KEYS, NOW_AND_THEN, NOWHERE, QUEUE, Role, Route, TOPIC, key_name},
    server::Server,
};

pub const LEASE: Duration = Duration::from_millis(1500);
/// So many messages of each lane are on their way at once.
pub const BATCH: usize = 10;
/// A process may begin while its wires are spoilt.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a broker may owe an answer.
const ANSWER: Duration = Duration::from_millis(1500);
const WRITERS: usize = 2;
/// Enough for a topic to which nobody listens for a moment.
const ATTEMPTS: u32 = 16;

pub async fn run<D: Server>(role: Role, route: &Route, number: u64, seed: u64) {
    Marks::of(&route.folder, number).listen(set_mark_hook);
    let pool = opened::<D>(&route.database).await;
    match role {
        Role::Producer => produce(Outbox::new(pool), Rng::new(seed)).await,
        Role::Relay => relay(Outbox::<D>::new(pool), broker(route)).await,
        Role::Consumer => consume(Inbox::<D>::new(pool), broker(route), Rng::new(seed)).await,
    }
}

async fn opened<D: Server>(url: &str) -> Pool<D> {
    let began = Instant::now();
    loop {
        let options = D::sessions().max_connections(4).acquire_timeout(Duration::from_secs(3));
        match options.connect(url).await {
            Ok(pool) => return pool,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn broker(route: &Route) -> Arc<dyn Broker> {
    let options = RabbitMqOptions::default().with_timeout(ANSWER).with_confirm_timeout(ANSWER);
    Arc::new(RabbitMqBroker::new(&route.broker, options.with_reconnect(soon())).unwrap())
}

fn soon() -> RetryPolicy {
    RetryPolicy::exponential().with_base(Duration::from_millis(20)).with_max(Duration::from_millis(200))
}

async fn relay<D: Server>(outbox: Outbox<D>, broker: Arc<dyn Broker>) {
    let options = RelayOptions::default()
        .with_lease(LEASE)
        .with_batch(BATCH)
        .with_poll(Duration::from_millis(50))
        .with_publish_timeout(ANSWER + Duration::from_millis(500))
        .with_retry(soon().with_attempts(ATTEMPTS))
        .with_outage(soon());
    Relay::new(outbox.store(), broker, options).unwrap().run(CancellationToken::new()).await;
}

async fn consume<D: Server>(inbox: Inbox<D>, broker: Arc<dyn Broker>, mut rng: Rng) {
    let options = ConsumerOptions::default().with_concurrency(4).with_batch(*rng.pick(&[1, 4]));
    let options = options.with_poll(Duration::from_millis(20));
    let subscription = Subscription::new(QUEUE).topic(TOPIC);
    Consumer::new(broker, subscription, inbox, note).with_options(options).run(CancellationToken::new()).await;
}

async fn note<D: Server>(mut tx: Tx<D>, message: Envelope) -> Result<(), HandlerError> {
    let insert = Sql::<D>::new().sql("insert into effect (id) values (?)").bind(message.id.as_str());
    insert.execute(&mut tx).await?;
    mark("test.handled");
    println!("handled {}", message.id);
    Ok(())
}

async fn produce<D: Server>(outbox: Outbox<D>, mut rng: Rng) {
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        tasks.spawn(write(outbox.clone(), rng.fork()));
    }
    // None of them ends, but by a panic.
    tasks.join_next().await.unwrap().unwrap();
}

/// Why a producer goes back on what it did.
const SECOND_THOUGHT: &str = "second thoughts";

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn write<D: Server>(outbox: Outbox<D>, mut rng: Rng) {
    loop {
        let mut own = rng.fork();
        let done = outbox
            .transaction(async |mut tx| {
                let mut ids = Vec::new();
                for _ in 0..=own.below(2) {
                    ids.extend(order(&outbox, &mut tx, own.below(KEYS), own.below(4) + 1, &mut own).await?);
                }
                mark("test.enqueued");
                if own.chance(0.1) {
                    sleep(Duration::from_millis(own.below(300))).await;
                }
                if own.chance(0.2) { Err(Failure::from(SECOND_THOUGHT)) } else { Ok(ids) }
            })
            .await;
        match done {
            Ok(ids) => ids.iter().for_each(|id| println!("order {id}")),
            Err(error) => assert!(is_expected(&error), "{error:?}"),
        }
        sleep(Duration::from_millis(10 + rng.below(80))).await;
    }
}

/// What a wire that is spoilt, and a producer that thinks again, may answer.
fn is_expected(error: &Failure) -> bool {
    let backend = match error.downcast_ref::<Error>() {
        Some(Error::Backend(error)) => Some(error),
        Some(_) => None,
        None => error.downcast_ref(),
    };
    match backend {
        Some(error) => !matches!(error.class(), ErrorClass::Refused | ErrorClass::Corrupt),
        None => error.to_string() == SECOND_THOUGHT,
    }
}

/// Orders of one customer with their running numbers, in the order in which they are enqueued; none while another
/// transaction writes orders of that customer.
pub async fn order<D: Server>(
    outbox: &Outbox<D>,
    tx: &mut impl Conn<D>,
    key: u64,
    count: u64,
    rng: &mut Rng,
) -> Result<Vec<String>, Failure> {
    let (sql, key) = (Sql::<D>::new(), key_name(key));
    let lock = sql.sql("select n from counter where msg_key = ? for update skip locked").bind(&key);
    let Some((last,)) = lock.fetch_optional::<(i64,)>(tx).await? else { return Ok(Vec::new()) };
    let count = count.cast_signed();
    sql.sql("update counter set n = ? where msg_key = ?").bind(last + count).bind(&key).execute(tx).await?;
    let mut messages = Vec::new();
    for n in last + 1..=last + count {
        let topic = match rng.below(100) {
            0..2 => NOWHERE,
            2..22 => NOW_AND_THEN,
            _ => TOPIC,
        };
        messages.push(Message::to(topic).key(&key).text(format!("{key} {n}"))?);
    }
    let ids = outbox.enqueue_all(tx, &messages).await?;
    for (n, (message, id)) in (last + 1..).zip(messages.iter().zip(&ids)) {
        let insert = sql.sql("insert into orders (id, topic, msg_key, n) values (?, ?, ?, ?)");
        insert.bind(id.as_str()).bind(message.topic()).bind(&key).bind(n).execute(tx).await?;
    }
    Ok(ids.iter().map(ToString::to_string).collect())
}
