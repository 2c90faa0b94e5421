//! `rollback`: a decision, which the services carry out.

use onceward_dtx::{GlobalStatus, Reason};
use serde_json::json;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_decided_and_its_services_undo_it() {
    let scene = Scene::new().await;
    let open = scene.open.xid();
    let text = scene.run(&["rollback", open]).good();
    assert!(text.starts_with(&format!("transaction {open}: rolling-back; the services ")), "{text}");
    let undo = scene.world.dtx.undo_rows().await.unwrap();
    assert!(undo.iter().any(|row| row.xid == open), "its resource was given, and not asked: {undo:?}");
    let json = scene.run(&["rollback", open, "--json"]).json();
    assert_eq!(json, json!({ "xid": open, "state": "rolling-back" }), "said twice, it is the same");

    scene.world.dtx.recover().await.unwrap();
    let coordinator = scene.world.dtx.coordinator();
    assert_eq!(coordinator.status(open).await.unwrap(), Some(GlobalStatus::RolledBack));
    assert_eq!(coordinator.reason(open).await.unwrap(), Some(Reason::Operator));
    let shown = scene.run(&["show", open]).good();
    assert!(shown.contains("rolled-back because an operator decided so"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_decision_stands() {
    let scene = Scene::new().await;
    let told = scene.run(&["rollback", &scene.committed]).bad(1);
    assert!(told.contains("was decided otherwise: committed"), "{told}");
    let told = scene.run(&["rollback", "nobody.knows"]).bad(1);
    assert!(told.contains("no transaction nobody.knows"), "{told}");
    let text = scene.run(&["rollback", &scene.parked.xid]).good();
    assert!(text.contains(": parked;"), "{text}");
}
