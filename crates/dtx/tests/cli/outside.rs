//! The library's half: a resource that is only shown and repaired.

use std::sync::Arc;
use std::time::Duration;

use onceward_dtx::rm::Undone;
use onceward_dtx::{At, Dtx, DtxError, DtxOptions, SqlStore, Tc, TcOptions};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_to_be_undone_is_left_to_the_services() {
    let scene = Scene::new().await;
    let disk = &scene.world.disk;
    let store = SqlStore::existing(disk.pool("tc").await).await.unwrap();
    let peer = Tc::new(Arc::new(store), TcOptions::default().with_peers(Duration::from_secs(5)));
    let dtx = Dtx::new(Arc::new(peer), DtxOptions::default());
    for name in ["orders", "wallet"] {
        At::for_repair(name, disk.pool(name).await, &dtx).await.unwrap();
    }
    let before = dtx.undo_rows().await.unwrap();
    let [open] = before.as_slice() else { panic!("{before:?}") };
    let orders = dtx.resources().get("orders").unwrap();
    let left =
        [orders.commit(&open.xid, open.branch_id).await.err(), orders.rollback(&open.xid, open.branch_id).await.err()];
    for error in left {
        assert!(matches!(&error, Some(DtxError::Resource { resource, .. }) if resource == "orders"), "{error:?}");
    }
    assert_eq!(dtx.undo_rows().await.unwrap().len(), 1);
    assert_eq!(scene.world.balance(0, 1).await, Some(101));
    let wallet = dtx.resources().get("wallet").unwrap();
    assert_eq!(wallet.rollback(&scene.parked.xid, scene.parked.branch_id).await.unwrap(), Undone::Parked);
    let taken = At::for_repair("orders", disk.pool("stock").await, &dtx).await.unwrap_err();
    assert!(matches!(taken, DtxError::Resource { .. }), "{taken:?}");
}
