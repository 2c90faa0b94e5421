//! The contracts on MariaDB.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "cases/batches.rs"]
mod batches;
#[path = "cases/sql.rs"]
#[macro_use]
mod cases;
#[path = "cases/clock.rs"]
mod clock;
#[path = "relay/double.rs"]
#[allow(dead_code, reason = "it has more than is needed here")]
mod double;
#[path = "cases/jumps.rs"]
mod jumps;
#[path = "cases/late.rs"]
mod late;
#[path = "cases/plain.rs"]
mod plain;
#[path = "cases/repeatable_read.rs"]
mod repeatable_read;
#[path = "cases/role.rs"]
mod role;
#[path = "cases/sharing.rs"]
mod sharing;
#[path = "cases/trips.rs"]
#[macro_use]
mod trips;

use std::{sync::Arc, time::Duration};

use onceward_backend::sqlx::{self, AssertSqlSafe, MySql, Pool, mysql::MySqlConnectOptions};
use onceward_reliable_mq::{Outbox, Store, conformance::block_on};
use testkit::Lent;

use crate::plain::{Plain, delayed, sql_after};

async fn outbox() -> (Outbox<MySql>, Lent) {
    let database = testkit::mysql::database().await;
    let outbox = Outbox::<MySql>::new(Pool::connect(database.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox.migrate().await.unwrap();
    (outbox, database)
}

async fn make() -> (Arc<dyn Store>, Lent) {
    let (outbox, database) = outbox().await;
    (outbox.store(), database)
}

onceward_reliable_mq::conformance!(store: make);
sql_cases!(outbox);
trips_cases!(mysql, MySql);

#[test]
fn others_enqueue_into_the_order_of_a_key() {
    block_on(async {
        let (outbox, _database) = outbox().await;
        let insert = async |plain: Plain<'_>, delay: Option<Duration>| {
            let statement = sql_after("MariaDB and MySQL, with key");
            let text = delay.map_or_else(|| statement.to_owned(), |delay| delayed(statement, delay));
            let Plain { id, topic, key, headers, payload } = plain;
            let insert = sqlx::query(AssertSqlSafe(text)).bind(key).bind(id).bind(id).bind(topic).bind(key);
            insert.bind(headers).bind(payload).execute(outbox.pool()).await.map(drop)
        };
        plain::others_enqueue_into_the_order_of_a_key(&outbox, insert).await;
    });
}

#[test]
fn a_role_enqueues_and_can_nothing_else() {
    block_on(async {
        let (outbox, database) = outbox().await;
        let (role, user) = (format!("{}_e", database.name()), format!("{}_u", database.name()));
        for statement in role::grants(&role) {
            role::execute(outbox.pool(), &statement).await.unwrap();
        }
        for statement in [
            format!("create user {user} identified by 'pass'"),
            format!("grant {role} to {user}"),
            format!("set default role {role} for {user}"),
        ] {
            role::execute(outbox.pool(), &statement).await.unwrap();
        }
        let options = database.url().parse::<MySqlConnectOptions>().unwrap().username(&user).password("pass");
        let pool = Pool::connect_with(options).await.unwrap();
        role::a_role_enqueues_and_can_nothing_else(&outbox, pool.clone()).await;
        pool.close().await;
        for statement in [format!("drop user {user}"), format!("drop role {role}")] {
            role::execute(outbox.pool(), &statement).await.unwrap();
        }
    });
}

#[test]
fn a_settle_of_what_is_gone_keeps_no_producer_waiting() {
    block_on(async {
        let database = testkit::mysql::database().await;
        repeatable_read::a_settle_of_what_is_gone_keeps_no_producer_waiting(database.url()).await;
    });
}

#[test]
fn batches_that_overlap_have_one_effect_per_message() {
    block_on(batches::batches_that_overlap_have_one_effect_per_message(outbox));
}

#[test]
fn relays_come_and_go_and_share_the_lanes_in_order_of_each_key() {
    block_on(async {
        let (store, _database) = make().await;
        sharing::relays_come_and_go_and_share_the_lanes_in_order(store).await;
    });
}

#[test]
fn a_transaction_that_commits_late_keeps_its_place_in_the_order_of_its_key() {
    block_on(late::a_transaction_that_commits_late_keeps_its_place_in_the_order_of_its_key(outbox));
}

#[test]
fn a_transaction_that_rolls_back_late_holds_up_nobody() {
    block_on(late::a_transaction_that_rolls_back_late_holds_up_nobody(outbox));
}

#[test]
fn a_topic_that_was_paused_for_long_keeps_its_order() {
    block_on(late::a_topic_that_was_paused_for_long_keeps_its_order(outbox));
}

#[test]
fn a_clock_that_jumps_forward_ends_leases() {
    block_on(async { jumps::forward_ends_leases::<MySql>(testkit::mysql::database().await).await });
}

#[test]
fn a_clock_that_jumps_back_prolongs_the_leases_of_the_dead() {
    block_on(async { jumps::back_prolongs_the_leases_of_the_dead::<MySql>(testkit::mysql::database().await).await });
}

#[test]
fn what_waits_is_due_by_the_clock_of_the_database() {
    block_on(async {
        jumps::what_waits_is_due_by_the_clock_of_the_database::<MySql>(testkit::mysql::database().await).await
    });
}
