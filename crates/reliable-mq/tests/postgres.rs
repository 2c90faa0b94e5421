//! The contracts on PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test program")]

#[path = "cases/sql.rs"]
#[macro_use]
mod cases;

use std::sync::Arc;

use onceward_backend::sqlx::{Pool, Postgres};
use onceward_reliable_mq::{
    Broker, History, MemoryBroker, Message, Outbox, Relay, RelayOptions, Store, Subscription, conformance::block_on,
};
use testkit::{Proxy, postgres::Database};

async fn outbox() -> (Outbox<Postgres>, Database) {
    let database = testkit::postgres::database().await;
    let outbox = Outbox::<Postgres>::new(Pool::connect(database.url()).await.unwrap());
    outbox.migrate().await.unwrap();
    outbox.migrate().await.unwrap();
    (outbox, database)
}

async fn make() -> (Arc<dyn Store>, Database) {
    let (outbox, database) = outbox().await;
    (outbox.store(), database)
}

onceward_reliable_mq::conformance!(store: make);
sql_cases!(outbox);

#[test]
fn the_round_trips_of_a_relay_do_not_grow_with_its_batch() {
    block_on(async {
        for history in [History::Rows, History::Off] {
            let (outbox, database) = outbox().await;
            let proxy = Proxy::in_front_of(database.url()).await;
            let relayed = Outbox::<Postgres>::new(Pool::connect(proxy.url()).await.unwrap());
            let broker = Arc::new(MemoryBroker::new());
            broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
            let options = RelayOptions::default().with_allow_volatile(true).with_history(history);
            let relay = Relay::new(relayed.store(), broker, options).unwrap();
            let mut trips = Vec::new();
            // The first two rounds take the leases and prepare the statements.
            for messages in [200, 200, 100, 1000] {
                let mut tx = outbox.pool().begin().await.unwrap();
                for n in 0..messages {
                    outbox.enqueue(&mut tx, &Message::to("topic").text(n.to_string()).unwrap()).await.unwrap();
                }
                tx.commit().await.unwrap();
                proxy.reset_counts();
                assert_eq!(relay.step().await.unwrap().sent, messages);
                trips.push(proxy.round_trips());
            }
            println!("{history:?}: round_trips of a step over 8 lanes with 200, 200, 100, 1000 messages: {trips:?}");
            // Per lane: what is due, what is new, settle; around each the pool asks whether its connection lives, when it is
            // taken and, a moment later, when it is given back.
            assert!(trips[2..].iter().all(|trips| *trips <= 8 * 9 + 1), "{trips:?}");
            assert!(outbox.store().counts().await.unwrap().is_empty());
        }
    });
}
