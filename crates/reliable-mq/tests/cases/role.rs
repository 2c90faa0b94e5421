//! What a role can do that has no more than the grants of the README.

use std::time::Duration;

use onceward_backend::{
    Db,
    internal::begin,
    sqlx::{AssertSqlSafe, Executor, Pool},
};
use onceward_reliable_mq::{Message, Outbox};

use crate::{
    cases::{branch, message, release},
    plain::sql_after,
};

const TABLES: [&str; 10] = [
    "mq_hot",
    "mq_delayed",
    "mq_held",
    "mq_dead",
    "mq_history",
    "mq_batch",
    "mq_paused",
    "mq_inbox",
    "mq_shard",
    "mq_relay",
];

/// The grants, to a role of this name.
pub fn grants(role: &str) -> Vec<String> {
    let grants = sql_after("### A role that can only enqueue").replace("enqueuer", role);
    grants.split_terminator(';').map(|grant| grant.trim().to_owned()).collect()
}

pub async fn execute<D: Db>(pool: &Pool<D>, statement: &str) -> Result<(), onceward_backend::sqlx::Error> {
    let mut conn = pool.acquire().await?;
    D::executor(&mut conn).execute(AssertSqlSafe(statement.to_owned())).await.map(drop)
}

/// `pool` is of a user with the role, `owner` of one who may do everything.
pub async fn a_role_enqueues_and_can_nothing_else<D: Db>(owner: &Outbox<D>, pool: Pool<D>) {
    let outbox = Outbox::<D>::new(pool.clone());
    let later = Message::to("topic").delay(Duration::from_secs(3600)).text("later").unwrap();
    let mut tx = begin(&pool).await.unwrap();
    outbox.enqueue(&mut tx, &message("1")).await.unwrap();
    outbox.enqueue_all(&mut tx, &[message("2"), later.clone(), message("3")]).await.unwrap();
    outbox.enqueue(&mut tx, &later).await.unwrap();
    tx.commit().await.unwrap();
    branch(&outbox, &pool, "a", &["4"]).await.tx.commit().await.unwrap();
    let store = owner.store();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.hot, counts.delayed, counts.held), (3, 2, 1));

    let mut forbidden = vec![
        "insert into mq_hot (id, shard, message_id, topic, headers, payload, enqueued_at) \
         values (1, 0, 'x', 'x', '{}', '', 0)"
            .to_owned(),
        "insert into mq_dead (message_id, shard, hot_id, topic, headers, payload, enqueued_at, attempts, last_error, dead_at) \
         values ('x', 0, 0, 'x', '{}', '', 0, 0, 'x', 0)"
            .to_owned(),
        "insert into mq_inbox (consumer, message_id, at) values ('x', 'x', 0)".to_owned(),
        "select * from mq_log".to_owned(),
    ];
    for table in TABLES {
        forbidden.push(format!("select * from {table}"));
        forbidden.push(format!("select count(*) from {table}"));
        forbidden.push(format!("delete from {table}"));
        forbidden.push(format!("truncate table {table}"));
        forbidden.push(format!("drop table {table}"));
        forbidden.push(format!("alter table {table} add column x bigint"));
        let column = match table {
            "mq_shard" | "mq_relay" => "owner",
            "mq_batch" => "shard",
            "mq_inbox" => "consumer",
            _ => "topic",
        };
        forbidden.push(format!("update {table} set {column} = null"));
        forbidden.push(format!("select {column} from {table}"));
    }
    for statement in &forbidden {
        let refused = execute(&pool, statement).await.err().unwrap_or_else(|| panic!("it may {statement}"));
        let reason = refused.as_database_error().unwrap().to_string();
        let is_refusal = ["denied", "must be owner"].iter().any(|words| reason.contains(words));
        assert!(is_refusal, "{statement}: {reason}");
    }
    assert!(outbox.store().counts().await.is_err() && outbox.store().dead(1).await.is_err());
    let after = store.counts().await.unwrap();
    assert_eq!((after.hot, after.delayed, after.held, after.dead), (3, 2, 1, 0), "all is as it was");
    assert_eq!(release(owner, owner.pool(), "a").await, 1);
}
