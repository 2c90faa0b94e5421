//! The contract of a store as tests that a store of your own can run.
//!
//! ```
//! mod mine {
//!     use onceward_idempotency::MemoryStore;
//!
//!     // A fresh store per case, and whatever must live as long as the case.
//!     async fn make() -> (MemoryStore, ()) {
//!         (MemoryStore::new(), ())
//!     }
//!     onceward_idempotency::conformance!(make);
//! }
//! ```
//! [`token_conformance!`](crate::token_conformance) and [`dedup_conformance!`](crate::dedup_conformance) are its halves.
//! What the store's capabilities do not promise is skipped, and named in the test's output. Outside semver: cases may be
//! added in any release.

#![allow(clippy::unwrap_used, missing_docs, clippy::missing_panics_doc, reason = "test code")]
#![allow(clippy::disallowed_methods, reason = "test code races tasks")]

pub mod contents;
pub mod tokens;

use std::time::{Duration, Instant};

pub use onceward_backend::conformance::block_on;

/// Tests everything a store can do.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::token_conformance!($make);
        $crate::dedup_conformance!($make);
    };
}

/// Tests a [`TokenStore`](crate::TokenStore).
#[macro_export]
macro_rules! token_conformance {
    ($make:expr) => {
        mod tokens {
            #[allow(unused_imports)]
            use super::*;
            $crate::__conformance_cases!($make, tokens:
                a_token_is_spent_once_and_then_answers_with_its_result
                of_64_concurrent_spends_exactly_one_is_accepted
                a_lost_reply_does_not_turn_the_winner_into_a_duplicate
                another_users_token_is_absent
                an_edited_cart_is_a_mismatch_and_leaves_the_token_unspent
                an_expired_token_is_told_from_an_unknown_one
                a_released_token_keeps_only_the_rest_of_its_life
                an_abandoned_claim_is_taken_over_and_never_seen_as_new
                a_crash_does_not_block_the_retry_for_the_rest_of_the_tokens_life
                a_contender_with_another_tail_does_not_take_over_a_live_claim
                a_renewed_claim_is_not_taken_over
                of_32_contenders_exactly_one_takes_over
                an_abandoned_claim_can_be_taken_over_past_the_tokens_life
                an_abandoned_claim_stays_known_for_the_rest_of_its_tokens_life
                a_newer_token_supersedes_only_an_unspent_one
                two_tabs_do_not_disturb_each_other
                a_dead_process_leaves_claims_that_are_listed_and_settled
                keys_are_compared_byte_by_byte
                results_come_back_as_they_went_in
                a_bare_token_is_consumed_once_and_only_by_its_exact_value
                of_32_concurrent_consumers_exactly_one_consumes
                a_bare_token_lives_for_its_time
                random_histories_are_answered_as_by_the_memory_store);
        }
    };
}

/// Tests a [`DedupStore`](crate::DedupStore).
#[macro_export]
macro_rules! dedup_conformance {
    ($make:expr) => {
        mod contents {
            #[allow(unused_imports)]
            use super::*;
            $crate::__conformance_cases!($make, contents:
                a_content_is_processed_once
                of_64_concurrent_claims_exactly_one_is_the_first
                a_lost_reply_does_not_turn_the_first_into_a_duplicate
                work_of_a_dead_process_is_handed_out_again
                of_32_contenders_exactly_one_takes_over
                a_renewed_claim_is_not_taken_over
                a_released_content_is_new_again
                a_mark_is_set_once
                of_32_concurrent_marks_exactly_one_is_new
                scopes_and_digests_do_not_meet
                a_content_is_forgotten_after_its_retention
                an_md5_collision_is_a_duplicate_unless_verified
                a_verified_collision_is_processed_and_told
                of_concurrent_colliding_contents_each_is_processed_once
                a_collided_content_is_remembered_when_the_first_is_gone
                verified_and_plain_claims_know_each_others_records);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($make:expr, $module:ident: $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::block_on(async {
                let (store, guard) = ($make)().await;
                $crate::conformance::$module::$case(::std::sync::Arc::new(store)).await;
                drop(guard);
            });
        })*
    };
}

/// Says what is not tested.
fn skip(what: &str) {
    onceward_backend::conformance::skipped(&format!("the store has no {what}"));
}

/// Asks until the answer is yes; waiting for a store's clock is the one thing a test can only do by asking again.
async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_secs(20);
    while !ask().await {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs all at once, as far as a barrier can.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    tasks: usize,
    make: impl Fn(usize) -> F,
) -> Vec<T> {
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(tasks));
    let running: Vec<_> = (0..tasks)
        .map(|n| {
            let (barrier, task) = (std::sync::Arc::clone(&barrier), make(n));
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(tasks);
    for task in running {
        results.push(task.await.unwrap());
    }
    results
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
