//! Shows that the auditor works: what a broken outbox would leave behind is forged, by plain SQL and plain publishing, and
//! each forgery is reported for what it is.

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use onceward_backend::internal::Sql;
use onceward_reliable_mq::RabbitMqOptions;

use crate::{
    audit::Rule::{self, Committed, FewRepeats, Kept, OneEffect, Ordered, Reasons, SentIsThere},
    auditor::Auditor,
    place::{Place, TOPIC, channel},
    server::Server,
};

/// Id and text of each message, as they came to the broker.
type Arrivals = Vec<(&'static str, &'static str)>;

struct Forgery {
    what: &'static str,
    /// What is changed in the database.
    sql: &'static [&'static str],
    /// What is changed in the broker.
    arrivals: fn(&mut Arrivals),
    found: &'static [Rule],
}

/// As it should be: five messages of two customers, and one that died.
const HONEST: [&str; 12] = [
    "delete from orders",
    "delete from effect",
    "delete from mq_hot",
    "delete from mq_delayed",
    "delete from mq_dead",
    "delete from mq_history",
    "insert into orders (id, topic, msg_key, n) values ('a1', 'orders', 'a', 1), ('a2', 'orders', 'a', 2), \
     ('a3', 'orders', 'a', 3), ('b1', 'orders', 'b', 1), ('b3', 'orders', 'b', 3)",
    "insert into orders (id, topic, msg_key, n) values ('b2', 'nowhere', 'b', 2)",
    "insert into effect (id) select id from orders where topic = 'orders'",
    "insert into mq_dead (message_id, shard, hot_id, topic, headers, payload, enqueued_at, attempts, last_error, dead_at) \
     values ('b2', 0, 1, 'nowhere', '', '', 1, 3, 'no queue', 2)",
    "insert into mq_history (message_id, topic, status, attempt, at) select id, topic, 'sent', 1, 1 from orders \
     where topic = 'orders'",
    "insert into mq_history (message_id, topic, status, attempt, error, at) values ('b2', 'nowhere', 'dead', 3, 'no queue', 1)",
];
const ARRIVALS: [(&str, &str); 5] = [("a1", "a 1"), ("b1", "b 1"), ("a2", "a 2"), ("a3", "a 3"), ("b3", "b 3")];

const WAITS: &str = "insert into mq_hot (shard, message_id, topic, headers, payload, enqueued_at) \
    values (0, 'a3', 'orders', '', '', 1)";
const WAITS_AGAIN: &str = "insert into mq_delayed (message_id, shard, hot_id, topic, headers, payload, enqueued_at, attempts, \
    blocks, due_at) values ('a3', 0, 1, 'orders', '', '', 1, 1, 0, 1)";

const FORGERIES: &[Forgery] = &[
    Forgery { what: "nothing wrong", sql: &[], arrivals: |_| {}, found: &[] },
    Forgery {
        what: "a lost message",
        sql: &["delete from mq_history where message_id = 'a2'"],
        arrivals: |all| all.retain(|(id, _)| *id != "a2"),
        found: &[Kept],
    },
    Forgery {
        what: "a message called sent that never came",
        sql: &[],
        arrivals: |all| all.retain(|(id, _)| *id != "a2"),
        found: &[Kept, SentIsThere],
    },
    Forgery {
        what: "a dead message that is not among the dead",
        sql: &["delete from mq_dead"],
        arrivals: |_| {},
        found: &[Kept],
    },
    Forgery { what: "a message that still waits", sql: &[WAITS], arrivals: |_| {}, found: &[Kept] },
    Forgery {
        what: "a message that waits again and does not say why",
        sql: &[WAITS_AGAIN],
        arrivals: |_| {},
        found: &[Kept, Reasons],
    },
    Forgery { what: "a reordered message", sql: &[], arrivals: |all| all.swap(2, 3), found: &[Ordered] },
    Forgery { what: "a phantom", sql: &[], arrivals: |all| all.push(("c1", "c 1")), found: &[Committed] },
    Forgery { what: "another text", sql: &[], arrivals: |all| all[0].1 = "a 9", found: &[Committed] },
    Forgery {
        what: "a repeat that no fault explains",
        sql: &[],
        arrivals: |all| all.extend([ARRIVALS[0], ARRIVALS[1]]),
        found: &[FewRepeats],
    },
    Forgery {
        what: "a repeat behind later ones, which is no reordering",
        sql: &[],
        arrivals: |all| all.push(ARRIVALS[0]),
        found: &[],
    },
    Forgery {
        what: "a doubled effect",
        sql: &["insert into effect (id) values ('b1')"],
        arrivals: |_| {},
        found: &[OneEffect],
    },
    Forgery {
        what: "a lost effect",
        sql: &["delete from effect where id = 'b1'"],
        arrivals: |_| {},
        found: &[OneEffect],
    },
    Forgery {
        what: "an effect of nothing",
        sql: &["insert into effect (id) values ('c1')"],
        arrivals: |_| {},
        found: &[OneEffect],
    },
    Forgery {
        what: "a dead message that does not say why",
        sql: &["update mq_dead set last_error = ' '"],
        arrivals: |_| {},
        found: &[Reasons],
    },
    Forgery {
        what: "a failure that does not say why",
        sql: &["update mq_history set error = null where status = 'dead'"],
        arrivals: |_| {},
        found: &[Reasons],
    },
];
/// How many repeats are explained.
const ALLOWED: usize = 1;

/// Answers how many tests that was.
pub async fn run<D: Server>() -> u32 {
    let place = Place::<D>::new().await;
    let auditor = Auditor::new(&place).await;
    for Forgery { what, sql, arrivals, found } in FORGERIES {
        let mut conn = place.outbox.pool().acquire().await.unwrap();
        for statement in HONEST.iter().chain(*sql) {
            Sql::<D>::new().sql(statement).execute(&mut conn).await.unwrap();
        }
        let mut all = ARRIVALS.to_vec();
        arrivals(&mut all);
        publish(&place, &all).await;
        let findings = auditor.gather().await.findings(ALLOWED);
        let rules: Vec<Rule> = findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, *found, "{what}: {findings:?}");
    }
    println!("test the_auditor_reports_each_of_{}_forgeries ... ok", FORGERIES.len());
    1
}

async fn publish<D: Server>(place: &Place<D>, arrivals: &Arrivals) {
    let (_connection, channel) = channel(&place.direct().broker).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let exchange = RabbitMqOptions::default().exchange;
    for (id, text) in arrivals {
        let properties = BasicProperties::default().with_message_id((*id).into());
        let publish = channel.basic_publish(
            exchange.as_str().into(),
            TOPIC.into(),
            BasicPublishOptions::default(),
            text.as_bytes(),
            properties,
        );
        assert!(publish.await.unwrap().await.unwrap().is_ack());
    }
}
