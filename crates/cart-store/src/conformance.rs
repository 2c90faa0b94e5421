//! The contract of [`Store`] as tests that any store can run.
//!
//! ```text
//! // tests/mine.rs
//! onceward_cart_store::conformance!(async || Fixture::new(MyStore::new()));
//! ```
//!
//! Each case gets a store of its own. What a store cannot do by its [`Capabilities`](crate::Capabilities) is skipped, and
//! the output says so.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests: a panic is the report")]

pub mod cases;
mod faulty;
mod random;

use std::any::Any;
use std::sync::Arc;

pub use onceward_backend::conformance::block_on;
use onceward_backend::conformance::skipped;

pub use faulty::{Faulty, Step};
pub use random::Random;

use crate::{
    Applied, Bought, Carts, Change, Command, GuestId, Item, LineKey, MemberId, Operation, OperationId, OrderId, Owner,
    Sku, Store,
};

/// A store to test, and what must live as long.
#[derive(Debug)]
pub struct Fixture {
    store: Arc<dyn Store>,
    guards: Vec<Box<dyn Any + Send + Sync>>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.guards.clear();
    }
}

impl Fixture {
    /// A store without carts.
    pub fn new(store: impl Store) -> Self {
        Self { store: Arc::new(store), guards: Vec::new() }
    }

    /// Keeps `guard` until the case is over: a folder, a database to be dropped.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    fn carts(&self) -> Carts {
        Carts::new(self.store())
    }

    fn cannot_merge(&self) -> bool {
        self.lacks(self.store.capabilities().merges, "this store does not merge carts")
    }

    fn cannot_take(&self) -> bool {
        self.lacks(self.store.capabilities().takes, "this store does not remember orders")
    }

    fn cannot_expire(&self) -> bool {
        self.lacks(self.store.capabilities().expires, "nothing expires in this store")
    }

    /// The case returns then, and the output says so.
    fn lacks(&self, able: bool, what: &str) -> bool {
        if !able {
            skipped(what);
        }
        !able
    }
}

fn guest() -> Owner {
    Owner::from(GuestId::random())
}

fn member(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn key(sku: &str) -> LineKey {
    LineKey::new(sku).unwrap()
}

fn add(sku: &str, delta: i32) -> Command {
    Command::Add { item: Item::new(Sku::new(sku).unwrap()), delta }
}

fn item(sku: &str) -> Item {
    Item::new(Sku::new(sku).unwrap())
}

fn bought(lines: &[(&str, u32)]) -> Vec<Bought> {
    lines.iter().map(|(sku, quantity)| Bought::new(key(sku), *quantity)).collect()
}

fn order(id: &str) -> OrderId {
    OrderId::new(id).unwrap()
}

fn operation(seen_version: u32) -> Operation {
    Operation { id: OperationId::random(), seen_version }
}

fn named(operation: Operation) -> Change {
    Change::default().with_operation(Some(operation))
}

async fn apply(store: &dyn Store, owner: &Owner, batch: &[Command]) -> Applied {
    store.apply(owner, batch, &Change::default()).await.unwrap()
}

/// Lines as (SKU, quantity, checked), sorted by SKU.
async fn lines(store: &dyn Store, owner: &Owner) -> Vec<(String, u32, bool)> {
    let cart = store.get(owner).await.unwrap();
    let mut lines: Vec<_> = cart
        .iter()
        .flat_map(|cart| &cart.lines)
        .map(|line| (line.sku().to_owned(), line.quantity, line.checked))
        .collect();
    lines.sort();
    lines
}

async fn quantity(store: &dyn Store, owner: &Owner, sku: &str) -> u32 {
    let cart = store.get(owner).await.unwrap();
    cart.and_then(|cart| cart.line(&key(sku)).map(|line| line.quantity)).unwrap_or(0)
}

/// Stamps one test per case. Takes an expression to call for a [`Fixture`](crate::conformance::Fixture) with an empty store: an
/// async closure or the name of an async function.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance_tests! { $make;
            basics: get_never_creates, an_empty_batch_changes_nothing, a_refused_batch_creates_nothing,
                every_command_does_what_it_says, any_text_may_be_a_sku, a_line_keeps_its_price_and_time,
                a_batch_is_all_or_nothing, a_batch_is_one_version, what_is_not_there_cannot_be_set,
                a_quantity_up_to_the_limit_fits, as_many_lines_as_the_limit_fit, clamping_keeps_what_fits_and_says_so,
                the_largest_cart_is_stored, another_version_than_expected_is_a_conflict,
                a_guest_and_a_member_of_one_name_are_two, deleting_leaves_nothing, the_store_is_healthy;
            operations: a_repeat_is_answered_as_the_first_time, a_repeat_of_what_failed_is_carried_out,
                a_ring_of_ids_alone_counts_adds_twice, an_operation_from_the_future_is_stale,
                changes_without_a_name_do_not_push_operations_out, a_hundred_operations_one_by_one;
            races: parallel_adds_all_count, parallel_adds_through_the_service_all_count,
                one_operation_sent_by_many_counts_once, one_of_many_wins_an_expected_version,
                lost_replies_count_once, lost_replies_of_many_processes_never_count_twice;
            merging: quantities_add_up, a_line_is_checked_if_one_of_the_two_was, a_step_of_another_merge_changes_nothing, a_merge_is_cut_down_to_the_limits, a_repeated_merge_counts_once,
                many_merges_at_once_count_once, a_merge_that_dies_after_any_step_is_finished,
                a_merge_into_another_member_is_refused, a_sealed_cart_refuses_writes,
                a_guest_without_a_cart_is_merged_at_once, no_add_is_lost_beside_a_merge,
                a_lost_absorb_is_absorbed_again, lost_replies_do_not_merge_twice;
            taking: what_was_bought_leaves_once, later_adds_stay, many_takes_of_one_order_count_once,
                an_order_is_remembered_without_a_cart, a_merged_cart_has_nothing_to_take;
            life: carts_expire, every_change_extends_the_life, marks_expire,
                a_sealed_cart_that_expired_is_forgotten, purging_drops_what_expired;
            model: random_batches_give_what_the_model_gives, random_merges_give_what_the_model_gives;
        }
    };
}

/// The tests of [`conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr; $($group:ident: $($case:ident),+;)+) => {
        $(mod $group {
            #[allow(unused_imports, reason = "the expression may or may not name things of the test file")]
            use super::*;

            $(#[test]
            fn $case() {
                $crate::conformance::block_on(async {
                    let fixture = ($make)().await;
                    $crate::conformance::cases::$group::$case(&fixture).await;
                });
            })+
        })+
    };
}
