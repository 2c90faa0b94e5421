//! The contract, on carts in a SQLite file, and what only files have.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "these are tests: a panic is the report"
)]

use std::path::Path;
use std::sync::Arc;

use onceward_backend::{sqlite, sqlx};
use onceward_cart_store::conformance::cases::model::against_the_model;
use onceward_cart_store::conformance::cases::races::many_processes;
use onceward_cart_store::conformance::{Fixture, block_on};
use onceward_cart_store::store::SqliteStore;
use onceward_cart_store::{Carts, Change, Command, GuestId, Item, MemberId, Operation, OperationId, Owner, Sku, Store};

async fn open(path: &Path) -> SqliteStore {
    let store = SqliteStore::new(sqlite::open(path).await.unwrap());
    store.migrate().await.unwrap();
    store
}

onceward_cart_store::conformance!(async || {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("carts.db")).await;
    Fixture::new(store).with_guard(folder)
});

#[test]
fn operations_are_remembered_across_a_restart() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carts.db");
        let owner = Owner::from(GuestId::random());
        let tea = [Command::Add { item: Item::new(Sku::new("tea").unwrap()), delta: 1 }];
        let change =
            Change::default().with_operation(Some(Operation { id: OperationId::of("first"), seen_version: 0 }));
        for restarted in [false, true] {
            let store = open(&path).await;
            assert_eq!(store.apply(&owner, &tea, &change).await.unwrap().replayed, restarted);
            assert_eq!(store.get(&owner).await.unwrap().unwrap().lines[0].quantity, 1);
        }
    });
}

#[test]
fn a_pool_of_one_connection_is_enough() {
    block_on(async {
        let store = SqliteStore::new(sqlite::memory().await.unwrap());
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        let carts = Carts::new(Arc::new(store));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..32 {
            let carts = carts.clone();
            tasks.spawn(async move {
                let guest = GuestId::random();
                carts.add(&guest.into(), Sku::new("tea").unwrap(), 1).await.unwrap();
                carts.merge(&guest, &MemberId::new("ann").unwrap()).await.unwrap();
                n
            });
        }
        assert_eq!(tasks.join_all().await.len(), 32);
        let cart = carts.get(&Owner::Member(MemberId::new("ann").unwrap())).await.unwrap();
        assert_eq!((cart.lines[0].quantity, cart.version), (32, 32));
    });
}

#[test]
fn unreadable_bytes_are_an_error_of_their_own() {
    block_on(async {
        let pool = sqlite::memory().await.unwrap();
        let store = SqliteStore::new(pool.clone());
        store.migrate().await.unwrap();
        let owner = Owner::from(GuestId::random());
        let tea = [Command::Add { item: Item::new(Sku::new("tea").unwrap()), delta: 1 }];
        store.apply(&owner, &tea, &Change::default()).await.unwrap();
        sqlx::query("update cart_carts set body = x'09'").execute(&pool).await.unwrap();
        let error = store.get(&owner).await.unwrap_err();
        assert!(!error.is_retryable() && !error.is_outcome_unknown(), "{error:?}");
        let error = store.apply(&owner, &tea, &Change::default()).await.unwrap_err();
        assert!(error.to_string().contains("unreadable"), "{error}");
    });
}

#[test]
fn random_batches_give_what_the_model_gives_at_scale() {
    block_on(async {
        let store = SqliteStore::new(sqlite::memory().await.unwrap());
        store.migrate().await.unwrap();
        let seed = testkit::seed();
        for n in 0..10 * testkit::scale() as u64 {
            against_the_model(&store, seed.wrapping_add(n), 60).await;
        }
    });
}

#[test]
fn adds_of_many_processes_never_count_twice_at_scale() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(open(&folder.path().join("carts.db")).await);
        let each = 10 * u32::try_from(testkit::scale()).unwrap();
        many_processes(&store, each, testkit::seed()).await;
    });
}

#[test]
fn the_columns_say_what_the_body_says() {
    block_on(async {
        let pool = sqlite::memory().await.unwrap();
        let store = SqliteStore::new(pool.clone());
        store.migrate().await.unwrap();
        let carts = Carts::new(Arc::new(store));
        let (guest, member) = (GuestId::random(), MemberId::new("ann").unwrap());
        let columns = async || {
            let all = "select version, line_count, merge_stage, expires_at is null from cart_carts order by id";
            sqlx::query_as::<_, (i64, i64, i64, bool)>(all).fetch_all(&pool).await.unwrap()
        };
        carts.add(&guest.into(), Sku::new("tea").unwrap(), 1).await.unwrap();
        carts.add(&guest.into(), Sku::new("cup").unwrap(), 1).await.unwrap();
        assert_eq!(columns().await, [(2, 2, 0, false)]);
        carts.merge(&guest, &member).await.unwrap();
        assert_eq!(columns().await, [(2, 2, 2, false), (1, 2, 0, true)]);
        carts.clear(&member.into()).await.unwrap();
        assert_eq!(columns().await, [(2, 2, 2, false), (2, 0, 0, true)]);
    });
}
