//! What the README says that an operation costs on the wire of a database.

use std::sync::Arc;

use onceward_backend::Db;
use onceward_cart_store::store::SqlStore;
use onceward_cart_store::{
    Bought, Carts, Change, Command, GuestId, Item, LineKey, MemberId, OrderId, Owner, Sku, Store,
};
use testkit::CountedPool;

pub async fn every_operation<D: Db>(url: &str) {
    let counted = CountedPool::<D>::connect(url).await;
    let store = SqlStore::<D>::new(counted.pool().clone());
    store.migrate().await.unwrap();
    let carts = Carts::new(Arc::new(store.clone()));
    let tea = || Sku::new("tea").unwrap();
    let ann = MemberId::new("ann").unwrap();
    let batch = [Command::Add { item: Item::new(tea()), delta: 1 }];
    // The first round prepares the statements.
    for round in 0..2 {
        let trips = |trips: u64, expected: u64, what: &str| {
            assert!(round == 0 || trips == expected, "{what}: {trips} round trips, not {expected}");
        };
        let (guest, empty) = (GuestId::random(), GuestId::random());
        let owner = Owner::from(guest);
        let get = async { carts.get(&owner).await.unwrap() };
        trips(counted.trips(get).await.1, 1, "get");
        let apply = async { store.apply(&owner, &batch, &Change::default()).await.unwrap() };
        trips(counted.trips(apply).await.1, 2, "apply");
        let add = async { carts.add(&owner, tea(), 1).await.unwrap() };
        trips(counted.trips(add).await.1, 2, "add");
        let merge = async { carts.merge(&guest, &ann).await.unwrap() };
        trips(counted.trips(merge).await.1, 10, "merge");
        let merge = async { carts.merge(&empty, &ann).await.unwrap() };
        trips(counted.trips(merge).await.1, 2, "merge of nothing");
        let order = OrderId::new(format!("order-{round}")).unwrap();
        let bought = [Bought::new(LineKey::new("tea").unwrap(), 1)];
        let take = async { carts.take(&ann.clone().into(), &order, &bought).await.unwrap() };
        trips(counted.trips(take).await.1, 6, "take");
        let delete = async { store.delete(&ann.clone().into()).await.unwrap() };
        trips(counted.trips(delete).await.1, 5, "delete");
        let finish = async { carts.finish_merges().await.unwrap() };
        trips(counted.trips(finish).await.1, 2, "finish_merges");
    }
}
