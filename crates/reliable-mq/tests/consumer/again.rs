//! What is tried again before a message goes back to its broker.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use onceward_backend::{ErrorClass, conformance::block_on};
use onceward_reliable_mq::{Consumed, Error, HandlerError};

use crate::{Fixture, at_once, note, options};

/// One delivery to a handler that fails `failures` times, so often tried: what became of it, and how often it ran.
async fn tried(attempts: u32, failures: usize, error: fn() -> HandlerError) -> (Consumed, usize, Fixture) {
    let (fixture, runs) = (Fixture::new().await, Arc::new(AtomicUsize::new(0)));
    let consumer = fixture.consumer({
        let runs = Arc::clone(&runs);
        move |tx, message| {
            let fails = runs.fetch_add(1, Ordering::SeqCst) < failures;
            async move {
                note(tx, message).await?;
                if fails { Err(error()) } else { Ok(()) }
            }
        }
    });
    let options = options(2).with_at_once(at_once(attempts)).with_timeout(Duration::from_secs(20));
    fixture.publish("id", "effect").await;
    let consumed = consumer.with_options(options).step().await.unwrap();
    (consumed, runs.load(Ordering::SeqCst), fixture)
}

#[test]
fn a_handler_that_fails_for_a_moment_succeeds_without_a_trip_to_the_broker() {
    block_on(async {
        let (consumed, runs, fixture) = tried(3, 2, || HandlerError::retry("a moment")).await;
        assert_eq!((consumed.first, consumed.retried, runs), (1, 0, 3));
        assert_eq!(fixture.effects().await, ["effect"], "of the run that succeeded");
    });
}

#[test]
fn all_that_is_tried_at_once_is_one_failure() {
    block_on(async {
        let (consumed, runs, fixture) = tried(3, 99, || HandlerError::retry("a moment")).await;
        assert_eq!((consumed.retried, runs), (1, 3));
        let again = fixture.broker.receive("notify", 1).await.unwrap().remove(0);
        assert_eq!(again.failures(), 1);
        assert!(fixture.effects().await.is_empty());
    });
}

#[test]
fn what_no_repeat_mends_runs_once_and_is_parked_with_its_causes() {
    block_on(async {
        let error = || {
            HandlerError::reject(Error::from(onceward_backend::BackendError::new("it", ErrorClass::Refused, cause())))
        };
        let (consumed, runs, fixture) = tried(3, 99, error).await;
        assert_eq!((consumed.dead, runs), (1, 1));
        let dead = fixture.broker.dead("notify", 1).await.unwrap().remove(0);
        assert!(dead.reason.ends_with(": the deepest cause"), "{}", dead.reason);
    });
}

#[test]
fn no_more_is_tried_than_there_is_time_for() {
    block_on(async {
        let (fixture, runs) = (Fixture::new().await, Arc::new(AtomicUsize::new(0)));
        let consumer = fixture.consumer({
            let runs = Arc::clone(&runs);
            move |_, _| {
                runs.fetch_add(1, Ordering::SeqCst);
                std::future::pending()
            }
        });
        let options = options(2).with_at_once(at_once(9)).with_timeout(Duration::from_millis(50));
        fixture.publish("id", "").await;
        assert_eq!(consumer.with_options(options).step().await.unwrap().retried, 1);
        assert_eq!(runs.load(Ordering::SeqCst), 1, "the first run took all the time");
    });
}

fn cause() -> std::io::Error {
    std::io::Error::other("the deepest cause")
}
