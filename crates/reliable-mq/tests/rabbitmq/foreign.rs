//! What others publish.

use std::time::Duration;

use lapin::{BasicProperties, Connection, ConnectionProperties, options::BasicPublishOptions};
use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Subscription};

use crate::Space;

#[test]
fn a_message_without_an_id_is_kept_whatever_time_its_sender_gave_it() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = space.broker();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        let theirs = Connection::connect(space.url(), ConnectionProperties::default()).await.unwrap();
        let channel = theirs.create_channel().await.unwrap();
        let properties = BasicProperties::default().with_expiration("1500".into());
        let publish =
            channel.basic_publish("".into(), "queue".into(), BasicPublishOptions::default(), b"x", properties);
        publish.await.unwrap();
        let dead = async || broker.depth("queue").await.unwrap().dead;
        testkit::eventually(Duration::from_secs(20), async || {
            assert!(broker.receive("queue", 1).await.unwrap().is_empty());
            if dead().await == 1 { Ok(()) } else { Err("it is not parked") }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(dead().await, 1);
    });
}
