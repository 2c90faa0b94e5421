//! Whoever looks changes nothing.

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, query_scalar};

use crate::scene::Scene;

/// A number that is another once somebody else has changed the database.
async fn version(conn: &mut PoolConnection<Sqlite>) -> i64 {
    query_scalar("pragma data_version").fetch_one(&mut **conn).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing_and_says_of_nobody_that_he_lives() {
    let scene = Scene::new().await;
    let branch = scene.parked_branch();
    let [resource, xid, id] = branch.each_ref().map(String::as_str);
    let inspected = scene.run(&["inspect", resource, xid, id, "--json"]).json();
    let fingerprint = inspected["fingerprint"].as_str().unwrap();
    let mut conns = Vec::new();
    for at in &scene.world.at {
        conns.push(at.pool().acquire().await.unwrap());
    }
    let mut before = Vec::new();
    for conn in &mut conns {
        before.push(version(conn).await);
    }
    for args in [
        &["list", "--stuck"][..],
        &["show", scene.open.xid()],
        &["locks"],
        &["waiters"],
        &["undo"],
        &["parked"],
        &["inspect", resource, xid, id],
        &["repair", resource, xid, id, "--restore", "--fingerprint", fingerprint, "--dry-run"],
        &["repair", resource, xid, id, "--done", "--fingerprint", fingerprint, "--dry-run"],
    ] {
        scene.run(args).good();
        for (conn, before) in conns.iter_mut().zip(&before) {
            assert_eq!(version(conn).await, *before, "{args:?}");
        }
    }
    scene.run(&["rollback", scene.open.xid()]).good();
    let store = scene.world.disk.pool("tc").await;
    let alive: i64 = query_scalar("select count(*) from dtx_owner").fetch_one(&store).await.unwrap();
    assert_eq!(alive, 0);
}
