//! What a relay reads of a large outbox, as PostgreSQL counts it.

use std::sync::Arc;

use onceward_backend::sqlx::{self, Postgres, postgres::PgPoolOptions};
use onceward_reliable_mq::{Broker, MemoryBroker, Message, Outbox, Relay, RelayOptions, Subscription};

/// More than the plans of a prepared statement that the server tries before it may settle for one.
const ROUNDS: usize = 12;
const BATCH: usize = 50;

const FILL: &str = "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
                    select n % 8, gen_random_uuid()::text, 'topic', 'key-' || n, '{}', decode(repeat('6f', 256), 'hex'), 0 \
                    from generate_series(1, 40000) n";
/// Messages of other keys that have failed; of each lane the time of one has come.
const DELAY: &str = "insert into mq_delayed (message_id, shard, hot_id, topic, msg_key, headers, payload, enqueued_at, \
                     attempts, blocks, due_at) \
                     select gen_random_uuid()::text, n % 8, n, 'topic', 'failed-' || n, '{}', '', 0, 1, 1, \
                     case when n <= 8 then 0 else 9000000000000000 end \
                     from generate_series(1, 20000) n";

/// How the outbox was when the planner looked at it.
#[derive(Debug, Clone, Copy)]
enum When {
    Full,
    New,
    /// It has room for many, and nothing in it: as an outbox is most of the time.
    Emptied,
    /// The same, and a few messages went through it before there were many.
    Quiet,
}

/// Rows of the outbox that were read, by whatever plan.
async fn rows_read(outbox: &Outbox<Postgres>) -> i64 {
    for flush in ["select pg_stat_force_next_flush()", "select pg_stat_clear_snapshot()"] {
        sqlx::query(flush).execute(outbox.pool()).await.unwrap();
    }
    let read = "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables \
                where relname in ('mq_hot', 'mq_delayed')";
    sqlx::query_scalar(read).fetch_one(outbox.pool()).await.unwrap()
}

pub async fn a_relay_reads_no_more_than_it_publishes_whatever_the_planner_knows() {
    let analyses = ["analyze mq_hot, mq_delayed, mq_paused, mq_shard", "vacuum analyze mq_hot, mq_delayed", "select 1"];
    let when = [When::Full, When::New, When::Emptied, When::Quiet];
    let few: Vec<Message> = (0..20).map(|n| Message::to("topic").key(n.to_string()).text("few").unwrap()).collect();
    let cases = analyses.iter().flat_map(|analyze| when.map(|when| (when, *analyze)));
    for ((when, analyze), plans) in cases.flat_map(|case| [(case, "auto"), (case, "force_generic_plan")]) {
        let database = testkit::postgres::database().await;
        let options = database.url().parse::<sqlx::postgres::PgConnectOptions>().unwrap();
        let options = options.options([("plan_cache_mode", plans)]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let outbox = Outbox::<Postgres>::new(pool.clone());
        outbox.migrate().await.unwrap();
        let run = async |statements: &[&'static str]| {
            for statement in statements {
                sqlx::query(*statement).execute(&pool).await.unwrap();
            }
        };
        let broker = Arc::new(MemoryBroker::new());
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let options = RelayOptions::default().with_allow_volatile(true).with_batch(BATCH);
        let relay = Relay::new(outbox.store(), broker, options).unwrap();
        match when {
            When::Full => run(&[FILL, DELAY, analyze]).await,
            When::New => run(&[analyze, FILL, DELAY]).await,
            When::Emptied => {
                run(&[FILL, DELAY, "delete from mq_hot", "delete from mq_delayed", analyze, FILL, DELAY]).await;
            }
            When::Quiet => {
                run(&[FILL, DELAY, "delete from mq_hot", "delete from mq_delayed", analyze]).await;
                for _ in 0..ROUNDS {
                    outbox.store().enqueue(&few).await.unwrap();
                    assert_eq!(relay.step().await.unwrap().sent, few.len());
                }
                run(&[FILL, DELAY]).await;
            }
        }
        let before = rows_read(&outbox).await;
        let mut sent = 0;
        for _ in 0..ROUNDS {
            sent += relay.step().await.unwrap().sent;
        }
        assert_eq!(sent, ROUNDS * 8 * BATCH + 8);
        let read = rows_read(&outbox).await - before;
        // Once to fetch and once to settle, and the first two of what waits in each lane.
        let most = i64::try_from(sent * 3).unwrap();
        assert!(read < most, "{read} rows read for {sent} messages: {analyze} when {when:?}; plans: {plans}");
    }
}
