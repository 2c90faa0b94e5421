//! Whoever looks changes nothing.

use onceward_backend::sqlx::{self, Sqlite, pool::PoolConnection};

use crate::scene::Scene;

/// A number that is another once somebody else has changed the database.
async fn version(conn: &mut PoolConnection<Sqlite>) -> i64 {
    sqlx::query_scalar("pragma data_version").fetch_one(&mut **conn).await.unwrap()
}

#[tokio::test]
async fn looking_and_trying_change_nothing() {
    let scene = Scene::new().await;
    let mut conn = scene.outbox.pool().acquire().await.unwrap();
    let before = version(&mut conn).await;
    for args in [
        &["status", "--topic"][..],
        &["list", "--state", "sent"],
        &["show", "dead", "--payload"],
        &["dead", "--attempts"],
        &["replay", "--all", "--dry-run"],
        &["resend", "failed", "--dry-run"],
        &["schema", "--dialect", "sqlite"],
    ] {
        scene.run(args).good();
        assert_eq!(version(&mut conn).await, before, "{args:?}");
    }
    scene.run(&["replay", "dead"]).good();
    assert_ne!(version(&mut conn).await, before, "it is seen if somebody does");
}
