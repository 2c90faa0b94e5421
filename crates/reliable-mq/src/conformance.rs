//! The contract of [`Store`](crate::Store) and [`Broker`](crate::Broker) as tests, for stores and brokers of your own.
//!
//! ```no_run
//! mod store {
//!     use std::sync::Arc;
//!     use onceward_reliable_mq::{MemoryStore, Store};
//!
//!     // The second part is kept until the case is over: a temporary folder, say.
//!     async fn make() -> (Arc<dyn Store>, ()) {
//!         (Arc::new(MemoryStore::new()), ())
//!     }
//!     onceward_reliable_mq::conformance!(store: make);
//! }
//! ```

pub mod broker;
pub mod store;

use std::{fmt::Debug, time::Duration};

pub use onceward_backend::conformance::block_on;
use tokio::time::Instant;

use crate::message::Message;

/// Expands to one `#[test]` per clause of the contract. `conformance!(store: make)` wants
/// `async fn make() -> (Arc<dyn Store>, G)`; `conformance!(broker: make)` wants
/// `async fn make(visibility: Duration) -> (Arc<dyn Broker>, G)`, where an unsettled delivery comes back after
/// `visibility`. Each call makes an empty one.
#[macro_export]
macro_rules! conformance {
    (store: $make:expr) => {
        $crate::__reliable_mq_cases!(store, $make;
            a_message_is_fetched_as_it_was_enqueued
            a_batch_keeps_its_order
            a_read_keeps_to_its_budget
            lanes_are_read_side_by_side
            a_message_without_its_id_gets_one_and_a_given_id_is_kept
            of_32_relays_one_gets_the_lane
            a_lease_ends_by_itself_and_its_epoch_grows
            a_process_of_the_same_name_takes_over_at_once
            a_released_lane_is_free
            a_relay_lives_as_long_as_it_says
            a_relay_with_a_lane_lives
            of_32_relays_that_come_at_once_each_is_seen
            a_message_that_was_sent_is_forgotten_and_logged
            history_off_logs_failures_only
            what_is_due_is_read_within_its_budget
            history_in_batches_counts_what_was_sent_and_names_what_failed
            a_paused_relay_never_deletes_a_newer_message
            a_settle_twice_counts_once
            of_32_settles_of_one_batch_each_message_counts_once
            a_failed_row_is_in_the_log_and_is_sent_again
            a_failing_key_blocks_only_itself
            a_released_key_lets_the_next_pass
            a_relay_without_its_lease_writes_no_failures
            a_dead_letter_is_listed_and_replayed_under_its_id
            a_replay_beyond_the_inboxes_memory_is_refused
            a_replayed_message_says_on_what_assumption
            a_dead_message_does_not_block_its_key
            a_delayed_message_waits_for_its_time
            the_same_id_twice_never_stops_a_lane
            counts_tell_what_waits_where
            nothing_of_32_producers_is_lost_and_keys_keep_their_order
            the_log_is_purged_in_bounds
            a_paused_topic_waits_and_goes_on_in_order
            a_resent_message_is_due_at_once_with_its_attempts
            messages_are_found_by_what_they_are_like
            lanes_and_topics_tell_who_works_and_what_waits
            dead_letters_are_purged_in_bounds
        );
    };
    (broker: $make:expr) => {
        $crate::__reliable_mq_cases!(broker, $make;
            each_message_has_its_own_outcome_in_order
            an_empty_batch_has_no_outcomes
            a_message_arrives_as_it_was_published
            headers_that_have_a_meaning_arrive_unchanged
            each_queue_gets_every_message
            one_id_in_two_topics_is_two_messages
            a_topic_is_routed_once_a_queue_takes_it
            a_subscription_may_be_repeated
            bad_names_are_refused
            a_queue_that_nobody_declared_is_an_error
            deliveries_keep_the_order_of_the_publishes
            of_32_consumers_one_gets_each_message
            an_acknowledged_message_is_gone
            an_unsettled_delivery_comes_back
            a_late_settle_cannot_touch_the_next_delivery
            a_retry_waits_and_counts
            a_release_spends_nothing
            a_rejected_delivery_is_listed_and_replayed
            a_dead_delivery_is_discarded_for_good
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __reliable_mq_cases {
    ($suite:ident, $make:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::block_on($crate::conformance::$suite::$case($make));
            }
        )*
    };
}

/// Repeats a probe until it answers, for at most ten seconds.
async fn eventually<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < end, "after 10 s still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn ok<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("unexpected error: {error:?}"))
}

fn message(topic: &str, text: &str) -> Message {
    ok(Message::to(topic).text(text))
}

fn keyed(key: &str, text: &str) -> Message {
    ok(Message::to("topic").key(key).text(text))
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.payload()).into_owned()
}
