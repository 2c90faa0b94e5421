//! Who lives, and has a part of the lanes.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{LONG, Made};
use crate::{
    conformance::{eventually, ok},
    store::{RelayInfo, Store},
};

async fn names(store: &Arc<dyn Store>) -> Vec<String> {
    ok(store.relays().await).into_iter().map(|relay| relay.owner).collect()
}

pub async fn a_relay_lives_as_long_as_it_says<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    assert!(names(&store).await.is_empty());
    ok(store.heartbeat("b", Duration::from_millis(20)).await);
    eventually("its time ends", async || names(&store).await.is_empty().then_some(())).await;
    for owner in ["b", "a", "b"] {
        ok(store.heartbeat(owner, LONG).await);
    }
    let relays = ok(store.relays().await);
    assert_eq!(relays.iter().map(|relay| relay.owner.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for relay in &relays {
        assert!(relay.lanes.is_empty() && relay.alive > LONG / 2 && relay.alive <= LONG, "{relay:?}");
    }
    ok(store.leave("a").await);
    ok(store.leave("a").await);
    assert_eq!(names(&store).await, ["b"]);
    ok(store.heartbeat("b", Duration::from_millis(20)).await);
    eventually("the last word counts", async || names(&store).await.is_empty().then_some(())).await;
}

pub async fn a_relay_with_a_lane_lives<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let lanes = store.capabilities().lanes;
    ok(store.heartbeat("idle", LONG).await);
    ok(store.heartbeat("works", LONG / 4).await);
    let mut leases = Vec::new();
    for lane in (0..lanes).rev() {
        leases.extend(ok(store.lease(lane, "works", LONG).await));
    }
    let relays = ok(store.relays().await);
    let [RelayInfo { owner: idle, lanes: none, .. }, RelayInfo { owner: works, lanes: all, alive }] = &relays[..]
    else {
        panic!("{relays:?}")
    };
    assert_eq!((idle.as_str(), none.as_slice(), works.as_str()), ("idle", &[][..], "works"));
    assert_eq!(*all, (0..lanes).collect::<Vec<_>>());
    assert!(*alive > LONG / 2 && *alive <= LONG, "as long as the last sign of it: {alive:?}");
    ok(store.leave("works").await);
    assert_eq!(names(&store).await, ["idle", "works"], "it still has lanes");
    for lease in &leases {
        ok(store.release(lease).await);
    }
    assert_eq!(names(&store).await, ["idle"]);
    ok(store.lease(0, "brief", Duration::from_millis(20)).await);
    eventually("its lease ends", async || (names(&store).await == ["idle"]).then_some(())).await;
}

pub async fn of_32_relays_that_come_at_once_each_is_seen<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.heartbeat("gone", Duration::from_millis(1)).await);
    let mut relays = JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&store);
        relays.spawn(async move {
            // Those that came before are there to be found, and those whose time is over to be cleared away.
            while let Err(error) = store.heartbeat(&format!("relay-{n:02}"), LONG).await {
                assert!(error.is_retryable(), "{error:?}");
            }
        });
    }
    relays.join_all().await;
    let mut seen = names(&store).await;
    seen.retain(|name| name != "gone");
    assert_eq!(seen, (0..32).map(|n| format!("relay-{n:02}")).collect::<Vec<_>>());
}
