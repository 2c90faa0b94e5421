//! The running relay: woken, delayed, shut down.

use std::{sync::Arc, time::Duration};

use onceward_backend::{
    conformance::block_on,
    sqlite,
    sqlx::{self, Sqlite},
};
use onceward_reliable_mq::{MemoryStore, Message, Outbox, Relay, Status, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{double::Double, message, options, statuses, stores};

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_when_it_arrives_not_at_the_next_poll() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let broker = Double::accepting();
    let options = options(12).with_poll(Duration::from_secs(1)).with_lease(Duration::from_secs(3600));
    let relay = Relay::new(Arc::clone(&store), broker.clone(), options).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (relay, stop) = (relay.clone(), stop.clone());
        async move { relay.run(stop).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = Instant::now();
    store.enqueue(&[message(None, "a")]).await.unwrap();
    while broker.accepted().is_empty() {
        tokio::task::yield_now().await;
    }
    // The clock stands still while anybody has work, so a poll would have taken its whole interval.
    assert_eq!(before.elapsed(), Duration::ZERO);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_sent_at_its_time() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let broker = Double::accepting();
    let relay = Relay::new(Arc::clone(&store), broker.clone(), options(12)).unwrap();
    let begun = Instant::now();
    store.enqueue(&[Message::to("topic").delay(Duration::from_secs(30)).text("later").unwrap()]).await.unwrap();
    let left = relay.drain(Duration::from_secs(29)).await.unwrap();
    assert_eq!((left.delayed, broker.accepted().len()), (1, 0));
    relay.drain(Duration::from_secs(60)).await.unwrap();
    assert_eq!(broker.texts(), ["later"]);
    assert!((30..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn a_relay_that_ends_gives_its_lanes_back() {
    block_on(async {
        for (store, _guard) in stores().await {
            let broker = Double::accepting();
            let hour = options(12).with_lease(Duration::from_secs(3600));
            let first = Relay::new(Arc::clone(&store), broker.clone(), hour.clone()).unwrap();
            let second = Relay::new(Arc::clone(&store), broker.clone(), hour).unwrap();
            first.step().await.unwrap();
            store.enqueue(&[message(None, "a")]).await.unwrap();
            assert_eq!(second.step().await.unwrap().sent, 0, "the first has the lanes");
            let stop = CancellationToken::new();
            stop.cancel();
            first.run(stop).await;
            testkit::eventually(Duration::from_secs(10), async || match second.step().await.unwrap().sent {
                1 => Ok(()),
                sent => Err(format!("{sent} sent")),
            })
            .await;
        }
    });
}

#[test]
fn a_running_relay_keeps_the_log_from_growing_for_ever() {
    block_on(async {
        for (store, _guard) in stores().await {
            store.enqueue(&[message(None, "a")]).await.unwrap();
            let kept = Relay::new(Arc::clone(&store), Double::accepting(), options(12)).unwrap();
            kept.drain(Duration::from_secs(10)).await.unwrap();
            assert_eq!(statuses(&store).await, [(Status::Sent, 1)]);
            let brief = options(12).with_history_retention(Duration::ZERO);
            testkit::eventually(Duration::from_secs(10), async || {
                // A relay purges as it begins, so a new one each time.
                let relay = Relay::new(Arc::clone(&store), Double::accepting(), brief.clone()).unwrap();
                let stop = CancellationToken::new();
                let (log, ()) = tokio::join!(
                    async {
                        tokio::task::yield_now().await;
                        stop.cancel();
                        statuses(&store).await
                    },
                    relay.run(stop.clone())
                );
                if log.is_empty() { Ok(()) } else { Err(format!("{log:?}")) }
            })
            .await;
        }
    });
}

#[test]
fn a_log_that_cannot_be_purged_holds_up_no_message() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let pool = sqlite::open(folder.path().join("service.db")).await.unwrap();
        let outbox = Outbox::<Sqlite>::new(pool.clone());
        outbox.migrate().await.unwrap();
        sqlx::query("alter table mq_batch rename to away").execute(&pool).await.unwrap();
        assert!(outbox.store().purge_history(Duration::ZERO, 1).await.is_err());
        let broker = Double::accepting();
        let relay = Relay::new(outbox.store(), broker.clone(), options(12)).unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { relay.run(stop).await }
        });
        outbox.store().enqueue(&[message(None, "a")]).await.unwrap();
        testkit::eventually(Duration::from_secs(10), async || match &*broker.texts() {
            [text] if text == "a" => Ok(()),
            texts => Err(format!("{texts:?}")),
        })
        .await;
        stop.cancel();
        running.await.unwrap();
    });
}
