//! What a relay reads of a large outbox, as PostgreSQL counts it.

use std::sync::Arc;

use onceward_backend::sqlx::{self, Postgres, postgres::PgPoolOptions};
use onceward_reliable_mq::{Broker, MemoryBroker, Outbox, Relay, RelayOptions, Subscription};

const ROUNDS: usize = 12;
const BATCH: usize = 50;

/// Rows of the outbox that were read, by whatever plan.
async fn rows_read(outbox: &Outbox<Postgres>) -> i64 {
    for flush in ["select pg_stat_force_next_flush()", "select pg_stat_clear_snapshot()"] {
        sqlx::query(flush).execute(outbox.pool()).await.unwrap();
    }
    let read = "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables \
                where relname = 'mq_hot'";
    sqlx::query_scalar(read).fetch_one(outbox.pool()).await.unwrap()
}

pub async fn a_relay_reads_no_more_than_it_publishes_whatever_the_planner_knows() {
    let analyses = ["analyze mq_hot, mq_delayed, mq_paused, mq_shard", "vacuum analyze mq_hot", "select 1"];
    let cases = analyses.iter().flat_map(|analyze| [(true, *analyze), (false, *analyze)]);
    for ((full, analyze), plans) in cases.flat_map(|case| [(case, "auto"), (case, "force_generic_plan")]) {
        let database = testkit::postgres::database().await;
        let options = database.url().parse::<sqlx::postgres::PgConnectOptions>().unwrap();
        let options = options.options([("plan_cache_mode", plans)]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let outbox = Outbox::<Postgres>::new(pool.clone());
        outbox.migrate().await.unwrap();
        let fill = "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
                    select n % 8, gen_random_uuid()::text, 'topic', 'key-' || n, '{}', decode(repeat('6f', 256), 'hex'), 0 \
                    from generate_series(1, 100000) n";
        for sql in if full { [fill, analyze] } else { [analyze, fill] } {
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
        let broker = Arc::new(MemoryBroker::new());
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let options = RelayOptions::default().with_allow_volatile(true).with_batch(BATCH);
        let relay = Relay::new(outbox.store(), broker, options).unwrap();
        let before = rows_read(&outbox).await;
        let mut sent = 0;
        // More than the plans of a prepared statement that the server tries before it may settle for one.
        for _ in 0..ROUNDS {
            sent += relay.step().await.unwrap().sent;
        }
        assert_eq!(sent, ROUNDS * 8 * BATCH);
        let read = rows_read(&outbox).await - before;
        // Once to fetch and once to settle, and what was deleted is walked over until the server has noticed that it is dead.
        let most = i64::try_from(sent * 2 + ROUNDS * sent).unwrap();
        assert!(read < most, "{read} rows read for {sent} messages: {analyze} when full: {full}; plans: {plans}");
    }
}
