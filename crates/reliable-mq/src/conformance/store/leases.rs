//! Who may publish a lane.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{LONG, Made};
use crate::{
    conformance::{eventually, ok},
    store::Lease,
};

pub async fn of_32_relays_one_gets_the_lane<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let mut relays = JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&store);
        relays.spawn(async move { ok(store.lease(0, &format!("relay-{n}"), LONG).await) });
    }
    let leases: Vec<Lease> = relays.join_all().await.into_iter().flatten().collect();
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert!(ok(store.renew(&leases[0], LONG).await));
}

pub async fn a_lease_ends_by_itself_and_its_epoch_grows<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let first =
        ok(store.lease(0, "first", Duration::from_millis(20)).await).unwrap_or_else(|| panic!("the lane is free"));
    let second = eventually("the lease ends", async || ok(store.lease(0, "second", LONG).await)).await;
    assert!(second.epoch > first.epoch);
    assert!(!ok(store.renew(&first, LONG).await), "a lost lease is not renewed");
    ok(store.release(&first).await);
    assert!(ok(store.renew(&second, LONG).await), "a late release frees nobody else's lane");
}

pub async fn a_process_of_the_same_name_takes_over_at_once<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let killed = ok(store.lease(0, "shop", LONG).await).unwrap_or_else(|| panic!("the lane is free"));
    assert!(ok(store.lease(0, "other", LONG).await).is_none());
    let restarted = ok(store.lease(0, "shop", LONG).await).unwrap_or_else(|| panic!("its own lane"));
    assert!(restarted.epoch > killed.epoch);
    assert!(!ok(store.renew(&killed, LONG).await));
}

pub async fn a_released_lane_is_free<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let lease = ok(store.lease(0, "first", LONG).await).unwrap_or_else(|| panic!("the lane is free"));
    ok(store.release(&lease).await);
    assert!(!ok(store.renew(&lease, LONG).await));
    assert!(ok(store.lease(0, "second", LONG).await).is_some());
}
