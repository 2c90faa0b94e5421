//! A pool whose sessions are at REPEATABLE READ, where a statement that finds nothing at the end of a lane locks that end.

use std::time::Duration;

use onceward_backend::{
    internal::begin,
    sqlx::{self, MySql, Pool, mysql::MySqlPoolOptions},
};
use onceward_reliable_mq::{
    History, Message, Outbox, Store,
    store::{Budget, Lease, Queued, Reach, Verdict},
};
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::from_secs(5);

async fn pool(url: &str) -> Pool<MySql> {
    let options = MySqlPoolOptions::new().after_connect(|conn, _| {
        Box::pin(async move {
            sqlx::query("set session transaction isolation level repeatable read").execute(&mut *conn).await?;
            sqlx::query("set session innodb_lock_wait_timeout = 20").execute(&mut *conn).await.map(drop)
        })
    });
    options.connect(url).await.unwrap()
}

fn message() -> Message {
    Message::to("topic").key("k").text("text").unwrap()
}

/// Two messages that are the last of their lane, and were sent by another meanwhile.
async fn gone(store: &dyn Store) -> (Lease, Vec<Queued>) {
    store.enqueue(&[message(), message()]).await.unwrap();
    for lane in 0..store.capabilities().lanes {
        let lease = store.lease(lane, "relay", LONG).await.unwrap().unwrap();
        let from = Reach { lease: lease.clone(), after: 0 };
        let queued = store.fetch(&[from], Budget { messages: 10, bytes: 1024 }).await.unwrap().queued;
        if !queued.is_empty() {
            let sent: Vec<_> = queued.iter().map(|queued| (queued, Verdict::Sent)).collect();
            assert_eq!(store.settle(std::slice::from_ref(&lease), History::Rows, &sent).await.unwrap().done, 2);
            return (lease, queued);
        }
    }
    panic!("they are in no lane");
}

/// Whether a producer gets a message into the lane at once.
async fn produces(pool: &Pool<MySql>) -> bool {
    let outbox = Outbox::<MySql>::new(pool.clone());
    let enqueue = outbox.transaction(async |mut tx| outbox.enqueue(&mut tx, &message()).await);
    tokio::time::timeout(AT_ONCE, enqueue).await.is_ok_and(|enqueued| enqueued.is_ok())
}

async fn count(pool: &Pool<MySql>, of: &'static str, connection: u64) -> i64 {
    sqlx::query_scalar(of).bind(connection).fetch_one(pool).await.unwrap()
}

pub async fn a_settle_of_what_is_gone_keeps_no_producer_waiting(url: &str) {
    let pool = pool(url).await;
    let outbox = Outbox::<MySql>::new(pool.clone());
    outbox.migrate().await.unwrap();
    let store = outbox.store();
    let (lease, queued) = gone(&*store).await;

    // The hazard, as a session at that level has it without our help.
    let mut tx = pool.begin().await.unwrap();
    let delete = sqlx::query("delete from mq_hot where shard = ? and id = ? and message_id = ?");
    let delete = delete.bind(i64::from(lease.lane)).bind(queued[1].sequence).bind(queued[1].envelope.id.as_str());
    assert_eq!(delete.execute(&mut *tx).await.unwrap().rows_affected(), 0);
    assert!(!produces(&pool).await, "nothing is shown below if this keeps nobody waiting");
    tx.rollback().await.unwrap();

    // A settle that is held where it asks for its lease, with whatever it has locked before that.
    let mut holder = begin(&pool).await.unwrap();
    let id: u64 = sqlx::query_scalar("select connection_id()").fetch_one(&mut *holder).await.unwrap();
    let lock = sqlx::query("select epoch from mq_shard where shard = ? for update").bind(i64::from(lease.lane));
    lock.fetch_one(&mut *holder).await.unwrap();
    let retry = Verdict::Retry { after: LONG, error: "on purpose".to_owned(), blocks: true };
    let mut settle = JoinSet::new();
    let settling = outbox.store();
    settle.spawn(async move {
        let batch = [(&queued[0], Verdict::Sent), (&queued[1], retry)];
        settling.settle(&[lease], History::Rows, &batch).await
    });
    testkit::eventually(LONG, async || {
        let waits = "select count(*) from information_schema.innodb_lock_waits w join information_schema.innodb_trx t \
                     on t.trx_id = w.blocking_trx_id where t.trx_mysql_thread_id = ?";
        if count(&pool, waits, id).await == 1 { Ok(()) } else { Err("the settle does not wait") }
    })
    .await;
    assert!(produces(&pool).await, "the settle is under way, and a producer waits for it");
    holder.rollback().await.unwrap();
    let settled = settle.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((settled.done, settled.gone, settled.fenced), (0, 2, vec![]));
    assert_eq!(store.counts().await.unwrap().hot, 1);
}
