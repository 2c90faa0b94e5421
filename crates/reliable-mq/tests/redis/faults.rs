//! What Redis makes of a wire that is cut.

use std::time::Duration;

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Error, Health, RedisBroker, Status, Subscription};
use testkit::{Mode, Proxy};

use crate::{
    Space, envelope,
    wire::{Fixture, WHILE, texts},
};

#[test]
fn a_connection_that_is_cut_within_a_batch_loses_and_doubles_nothing() {
    block_on(async {
        let fixture = Fixture::new().await;
        let relay = fixture.relay();
        fixture.enqueue("topic", ["warm".to_owned()]).await;
        relay.drain(WHILE).await.unwrap();
        fixture.enqueue("topic", texts(400)).await;
        fixture.proxy.set(Mode::CutBefore(b"text-250".to_vec()));
        let counts = relay.drain(WHILE).await.unwrap();
        assert!(counts.is_empty(), "{counts:?}");
        assert_eq!(fixture.proxy.mode(), Mode::Pass, "it was cut");
        assert_eq!(fixture.broker.depth("notify").await.unwrap().ready, 401);
        assert_eq!(fixture.statuses().await, [(Status::Sent, 1); 401]);
    });
}

#[test]
fn what_a_lost_answer_brought_comes_when_its_lease_ends() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let options = space.options().with_visibility(Duration::from_millis(500));
        let broker = RedisBroker::new(proxy.url(), options).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        broker.publish(&["a", "b"].map(|text| envelope("topic", text))).await;
        proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
        assert!(matches!(broker.receive("queue", 10).await, Err(Error::Backend(_))));
        let direct = space.broker();
        assert_eq!(direct.depth("queue").await.unwrap().leased, 2, "to nobody");
        let mut again = testkit::eventually(WHILE, async || match broker.receive("queue", 10).await {
            Ok(again) if again.len() == 2 => Ok(again),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!((again[0].envelope().id.as_str(), again[0].deliveries(), again[0].failures()), ("id-a", 2, 0));
        again.pop().unwrap().ack().await.unwrap();
    });
}

#[test]
fn a_settle_whose_answer_is_lost_is_an_error_and_is_not_repeated() {
    block_on(async {
        let space = Space::fresh().await;
        let proxy = Proxy::in_front_of(space.url()).await;
        let broker = RedisBroker::new(proxy.url(), space.options()).unwrap();
        broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
        broker.publish(&["a", "b", "c", "d"].map(|text| envelope("topic", text))).await;
        let direct = space.broker();
        for (n, delivery) in direct.receive("queue", 4).await.unwrap().into_iter().enumerate() {
            // The scripts are known to the server before the wire is spoilt.
            match n {
                0 => delivery.ack().await.unwrap(),
                1 => delivery.retry(Duration::ZERO, "warm").await.unwrap(),
                2 => delivery.release().await.unwrap(),
                _ => delivery.reject("warm").await.unwrap(),
            }
        }
        let mut held = testkit::eventually(WHILE, async || broker.receive("queue", 2).await).await.into_iter();
        let (first, second) = (held.next().unwrap(), held.next().unwrap());
        proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
        let lost = first.retry(Duration::from_secs(60), "no good").await;
        assert!(matches!(&lost, Err(Error::Backend(error)) if !error.is_retryable()), "{lost:?}");
        let depth = direct.depth("queue").await.unwrap();
        assert_eq!((depth.leased, depth.delayed, depth.dead), (1, 1, 1), "it happened, once");
        testkit::eventually(WHILE, async || match broker.health().await {
            Health::Up => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
        assert!(second.reject("no good").await.is_err());
        let depth = direct.depth("queue").await.unwrap();
        assert_eq!((depth.leased, depth.delayed, depth.dead), (0, 1, 2));
    });
}
