//! The embedded broker across processes and restarts.

use std::sync::Arc;

use onceward_backend::{
    conformance::block_on,
    sqlite,
    sqlx::{self, Sqlite},
};
use onceward_reliable_mq::{
    Broker, Consumer, Envelope, Inbox, Message, MessageId, Outbox, Outcome, Relay, RelayOptions, SqliteBroker,
    SqliteBrokerOptions,
};
use tempfile::TempDir;

use crate::{Fixture, WHILE, note, publish, subscription};

async fn embedded(folder: &TempDir, instance: &str) -> SqliteBroker {
    let pool = sqlite::open(folder.path().join("broker.db")).await.unwrap();
    let broker = SqliteBroker::open(pool, SqliteBrokerOptions::default().with_instance(instance)).await.unwrap();
    broker.subscribe(&subscription()).await.unwrap();
    broker
}

#[test]
fn what_a_dead_process_had_in_hand_is_delivered_again_at_once() {
    block_on(async {
        let fixture = Fixture::new().await;
        let before = embedded(&fixture.folder, "shop").await;
        publish(&before, "id", "a").await;
        let in_hand = before.receive("notify", 1).await.unwrap();
        assert_eq!(in_hand.len(), 1);
        let other = embedded(&fixture.folder, "other").await;
        assert!(other.receive("notify", 1).await.unwrap().is_empty(), "another process does not take it away");
        let restarted = embedded(&fixture.folder, "shop").await;
        assert_eq!(restarted.receive("notify", 1).await.unwrap().len(), 1);
    });
}

#[test]
fn a_message_without_a_queue_is_not_accepted_by_the_embedded_broker() {
    block_on(async {
        let fixture = Fixture::new().await;
        let broker = embedded(&fixture.folder, "shop").await;
        let envelope = Envelope::new(MessageId::parse("id").unwrap(), Message::to("nobody").text("").unwrap(), 1);
        assert_eq!(broker.publish(&[envelope]).await, [Outcome::Unroutable]);
    });
}

#[test]
fn a_pool_of_one_connection_serves_outbox_broker_and_consumer() {
    block_on(async {
        let pool = sqlite::memory().await.unwrap();
        sqlx::query("create table effect (what text not null)").execute(&pool).await.unwrap();
        let outbox = Outbox::<Sqlite>::new(pool.clone());
        outbox.migrate().await.unwrap();
        let broker: Arc<dyn Broker> =
            Arc::new(SqliteBroker::open(pool.clone(), SqliteBrokerOptions::default()).await.unwrap());
        broker.subscribe(&subscription()).await.unwrap();
        let relay = Relay::new(outbox.store(), Arc::clone(&broker), RelayOptions::default()).unwrap();
        let consumer = Consumer::new(broker, subscription(), Inbox::<Sqlite>::new(pool.clone()), note);
        outbox
            .transaction(async |mut tx| outbox.enqueue(&mut tx, &Message::to("topic").text("a")?).await)
            .await
            .unwrap();
        assert!(relay.drain(WHILE).await.unwrap().is_empty());
        assert_eq!(consumer.drain(WHILE).await.unwrap().first, 1);
        let effects: i64 = sqlx::query_scalar("select count(*) from effect").fetch_one(&pool).await.unwrap();
        assert_eq!(effects, 1);
    });
}
