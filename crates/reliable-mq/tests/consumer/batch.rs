//! Several messages in one transaction.

use std::sync::{Arc, Mutex};

use super::*;

/// What each call of a handler saw: the text of its message, and how many effects were there in its transaction.
type Calls = Arc<Mutex<Vec<(String, i64)>>>;

/// Notes the message down, but for one that says it is bad.
fn counting(fixture: &Fixture, batch: usize) -> (Consumer<Sqlite>, Calls) {
    let calls = Calls::default();
    let consumer = fixture.consumer({
        let calls = Arc::clone(&calls);
        move |mut tx, message: Envelope| {
            let calls = Arc::clone(&calls);
            async move {
                let before = sqlx::query_scalar("select count(*) from effect").fetch_one(&mut *tx).await?;
                calls.lock().unwrap().push((message.deref_text(), before));
                note(tx, message.clone()).await?;
                if message.deref_text() == "bad" { Err(HandlerError::retry("on purpose")) } else { Ok(()) }
            }
        }
    });
    (consumer.with_options(options(3).with_batch(batch)), calls)
}

/// The same, by a consumer that has done some already.
async fn experienced(fixture: &Fixture, batch: usize) -> (Consumer<Sqlite>, Calls) {
    let (consumer, calls) = counting(fixture, batch);
    for n in 0..7 {
        fixture.publish(&format!("before-{n}"), "before").await;
    }
    assert_eq!(consumer.drain(WHILE).await.unwrap().first, 7);
    sqlx::query("delete from effect").execute(&fixture.pool).await.unwrap();
    called(&calls);
    (consumer, calls)
}

fn called(calls: &Calls) -> Vec<(String, i64)> {
    std::mem::take(&mut calls.lock().unwrap())
}

#[test]
fn the_handlers_of_a_batch_run_in_order_in_one_transaction() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (consumer, calls) = experienced(&fixture, 3).await;
        for text in ["a", "b", "c", "d"] {
            fixture.publish(text, text).await;
        }
        assert_eq!(consumer.step().await.unwrap().first, 3);
        assert_eq!(called(&calls), [("a".to_owned(), 0), ("b".to_owned(), 1), ("c".to_owned(), 2)]);
        assert_eq!(consumer.step().await.unwrap().first, 1);
        assert_eq!(fixture.effects().await, ["a", "b", "c", "d"]);
        assert_eq!(fixture.broker.depth("notify").await.unwrap().open(), 0);
    });
}

#[test]
fn one_that_fails_takes_its_batch_apart_and_costs_the_others_nothing() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (consumer, calls) = experienced(&fixture, 3).await;
        for text in ["a", "bad", "c"] {
            fixture.publish(text, text).await;
        }
        let consumed = consumer.step().await.unwrap();
        assert_eq!((consumed.first, consumed.retried, consumed.duplicates), (2, 1, 0));
        let seen = called(&calls);
        assert_eq!(seen[..2], [("a".to_owned(), 0), ("bad".to_owned(), 1)], "together");
        assert_eq!(seen[2..], [("a".to_owned(), 0), ("bad".to_owned(), 1), ("c".to_owned(), 1)], "each by itself");
        assert_eq!(fixture.effects().await, ["a", "c"]);
    });
}

#[test]
fn what_was_handled_before_and_what_comes_twice_has_no_second_effect() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (consumer, _) = experienced(&fixture, 4).await;
        fixture.publish("a", "a").await;
        assert_eq!(consumer.step().await.unwrap().first, 1);
        for text in ["a", "b", "b", "c"] {
            fixture.publish(text, text).await;
        }
        let consumed = consumer.step().await.unwrap();
        assert_eq!((consumed.first, consumed.duplicates), (2, 2));
        assert_eq!(fixture.effects().await, ["a", "b", "c"]);
    });
}

#[test]
fn a_batch_whose_database_fails_spends_nothing() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (consumer, _) = experienced(&fixture, 3).await;
        for text in ["a", "b", "c"] {
            fixture.publish(text, text).await;
        }
        sqlx::query("alter table mq_inbox rename to away").execute(&fixture.pool).await.unwrap();
        assert!(consumer.step().await.is_err());
        assert_eq!(fixture.broker.depth("notify").await.unwrap().ready, 3, "given back");
        sqlx::query("alter table away rename to mq_inbox").execute(&fixture.pool).await.unwrap();
        let consumed = consumer.drain(WHILE).await.unwrap();
        assert_eq!((consumed.first, consumed.retried), (3, 0));
    });
}

#[test]
fn a_new_consumer_begins_with_one_message_and_doubles() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (consumer, _) = counting(&fixture, 5);
        for n in 0..17 {
            fixture.publish(&format!("id-{n}"), "a").await;
        }
        for expected in [1, 2, 4, 5, 5, 0] {
            assert_eq!(consumer.step().await.unwrap().first, expected);
        }
    });
}

#[test]
fn what_came_again_unsettled_shares_its_transaction_with_nobody() {
    block_on(async {
        let fixture = Fixture::new().await;
        let (consumer, calls) = experienced(&fixture, 3).await;
        for text in ["a", "again", "bad"] {
            fixture.publish(text, text).await;
        }
        let mut deliveries = fixture.broker.receive("notify", 2).await.unwrap();
        deliveries.remove(0).ack().await.unwrap();
        deliveries.remove(0).release().await.unwrap();
        fixture.publish("b", "b").await;
        let consumed = consumer.step().await.unwrap();
        assert_eq!((consumed.first, consumed.retried), (2, 1));
        let texts: Vec<_> = called(&calls).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["again", "bad", "b"], "and no batch was tried");
    });
}
