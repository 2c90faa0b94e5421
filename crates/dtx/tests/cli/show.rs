//! `show` and `inspect`: one transaction, one parked branch.

use serde_json::json;

use crate::scene::Scene;
use crate::tool::words;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_shown_with_what_it_holds_and_wants() {
    let scene = Scene::new().await;
    let (open, waiting) = (scene.open.xid(), scene.waiting.as_str());
    let text = scene.run(&["show", open]).good();
    assert!(text.starts_with(&format!("{open}  open\nactive, began ")), "{text}");
    assert!(words(&text, "orders")[..4] == ["orders", "account", "1", open], "{text}");
    assert_eq!(words(&text, waiting), [waiting]);
    let text = scene.run(&["show", waiting]).good();
    assert_eq!(words(&text, "orders"), ["orders", "account", "1", open], "what it waits for");
    let text = scene.run(&["show", &scene.stuck]).good();
    assert!(
        text.contains("\nrolling-back because it failed, began ")
            && text.contains(", attempts of the second phase: 1\n")
    );
    assert!(text.contains("nobody"), "{text}");

    let mut json = scene.run(&["show", open, "--json"]).json();
    let shown = json["transaction"].as_object_mut().unwrap();
    assert!(shown.remove("age_ms").unwrap().is_u64());
    assert!(shown["locks"][0].as_object_mut().unwrap().remove("age_ms").is_some());
    let branch = scene.world.dtx.undo_rows().await.unwrap();
    let branch = branch.iter().find(|row| row.xid == open).unwrap().branch_id.to_string();
    let expected = json!({
        "xid": open, "name": "open", "state": "active", "reason": null, "tries": 0,
        "branches": [{ "branch_id": branch, "resource_id": "orders", "state": "registered" }],
        "locks": [{ "resource_id": "orders", "table": "account", "key": "1", "xid": open, "parked": false }],
        "wants": [], "waiters": [waiting],
    });
    assert_eq!(json["transaction"], expected);
    let wants = json!([{ "resource_id": "orders", "table": "account", "key": "1", "holder": open }]);
    assert_eq!(scene.run(&["show", waiting, "--json"]).json()["transaction"]["wants"], wants);
    let committed = scene.run(&["show", &scene.committed, "--json"]).json();
    assert_eq!(committed["transaction"]["state"], "committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_nobody_knows_is_an_error() {
    let scene = Scene::new().await;
    let told = scene.run(&["show", "nobody.knows"]).bad(1);
    assert!(told.contains("no transaction nobody.knows") && told.contains("check the xid"), "{told}");
    let told = scene.run(&["inspect", "wallet", &scene.parked.xid, "7"]).bad(1);
    assert!(told.contains("branch 7 of") && told.contains("is not parked"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_the_coordinator_gave_up_is_told_from_one_that_its_resource_parked() {
    let scene = Scene::new().await;
    let [resource, xid, branch] = scene.parked_branch();
    for table in ["dtx_parked", "undo_log"] {
        let text = sqlx::AssertSqlSafe(format!("delete from {table}"));
        sqlx::query(text).execute(scene.world.at[2].pool()).await.unwrap();
    }
    let told = scene.run(&["inspect", &resource, &xid, &branch]).bad(1);
    assert!(told.contains("is parked at the coordinator alone"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_branch_is_shown_as_it_was_and_is() {
    let scene = Scene::new().await;
    let [resource, xid, branch] = scene.parked_branch();
    let found = scene.world.dtx.inspect(&scene.parked).await.unwrap().unwrap();
    let text = scene.run(&["inspect", &resource, &xid, &branch]).good();
    assert!(text.starts_with(&format!("branch {branch} of {xid} in wallet, parked ")), "{text}");
    assert!(text.contains("\naccount:1  changed by the branch\n"), "{text}");
    assert_eq!(words(&text, "balance"), ["balance", "100", "107", "5", "yes"]);
    assert_eq!(words(&text, "owner"), ["owner", "'ann'", "'ann'", "'ann'"]);
    assert_eq!(words(&text, "fingerprint")[1], found.fingerprint);

    let json = scene.run(&["inspect", &resource, &xid, &branch, "--json"]).json();
    assert_eq!((json["fingerprint"].as_str(), &json["problem"]), (Some(found.fingerprint.as_str()), &json!(null)));
    assert_eq!(json["parked"]["branch_id"], branch);
    let row = |balance: &str| json!({ "id": "1", "owner": "'ann'", "balance": balance });
    let expected = json!([{
        "table": "account", "key": "1", "before": row("100"), "after": row("107"), "now": row("5"),
        "differs": ["balance"], "problem": null,
    }]);
    assert_eq!(json["rows"], expected);
}
