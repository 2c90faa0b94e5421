//! What every [`TcStore`](crate::tc::store::TcStore) must do, as a suite that also a store written elsewhere can run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "test cases: their names say what they check, and they drive their own tasks"
)]

#[doc(hidden)]
pub mod cases;
#[doc(hidden)]
pub mod many;
#[doc(hidden)]
pub mod peers;
#[doc(hidden)]
pub mod queue;
#[doc(hidden)]
pub mod sight;

/// Stamps one `#[test]` per case. `make` gives a future of an empty store and of whatever must live as long as the case.
///
/// ```
/// mod mine {
///     use onceward_dtx::MemoryStore;
///
///     async fn make() -> (MemoryStore, ()) {
///         (MemoryStore::new(), ())
///     }
///     onceward_dtx::conformance!(make);
/// }
/// ```
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance!(@each cases $make;
            begins_and_is_found,
            the_first_decision_stands,
            an_empty_transaction_ends_with_its_decision,
            registers_once,
            takes_all_locks_or_none,
            a_lock_of_the_same_transaction_is_no_conflict,
            a_commit_frees_the_locks,
            a_rollback_keeps_the_locks_of_each_branch_until_that_is_done,
            a_branch_that_failed_early_gives_up_its_locks_with_the_rest,
            a_parked_branch_keeps_its_own_locks,
            a_repaired_branch_gives_up_its_own_locks,
            takes_no_branch_after_the_decision_or_the_deadline,
            branches_come_in_the_order_of_registration,
            many_commits_end_at_once,
            what_is_due_is_found_and_put_off,
            forgets_old_outcomes_but_nothing_open_or_parked,
            thirty_two_registrations_of_one_row_have_one_winner,
            a_decision_races_registrations_and_loses_none,
            awkward_texts_come_back,
        );
        $crate::conformance!(@each many $make;
            many_begin_at_once_and_twice_is_once,
            many_register_at_once_each_by_itself,
            many_commit_at_once_and_free_their_rows,
            a_commit_takes_along_what_its_own_waiter_was_granted,
        );
        $crate::conformance!(@each peers $make;
            coordinators_divide_what_is_due,
            a_coordinator_takes_on_what_its_resources_have_a_part_in,
            open_transactions_of_a_dead_coordinator_are_found,
        );
        $crate::conformance!(@each queue $make;
            what_is_held_is_told_from_what_is_free,
            rows_go_to_who_waits_longest,
            who_holds_rows_passes_who_holds_none,
            free_rows_are_granted_at_once,
            rows_are_taken_without_a_branch,
            another_coordinator_reads_what_its_waiters_were_told,
            a_circle_is_broken_at_once,
            nobody_waits_for_what_cannot_come,
            who_leaves_or_loses_patience_is_passed_over,
            what_a_dead_coordinator_never_read_is_forgotten,
            thirty_two_take_turns_on_one_row,
        );
        $crate::conformance!(@each sight $make;
            transactions_are_counted_by_their_states,
            transactions_are_shown_by_what_is_asked_for,
        );
    };
    (@each $module:ident $make:expr; $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            $crate::conformance::cases::on_runtime(async {
                let (store, _guard) = ($make)().await;
                $crate::conformance::$module::$case(::std::sync::Arc::new(store)).await;
            });
        })*
    };
}
