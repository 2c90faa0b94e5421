//! `repair`: on what was shown, once, and not at all by another resource's name.

use serde_json::json;

use crate::scene::Scene;
use crate::tool::{run_with, words};

async fn kept(scene: &Scene) -> Vec<(String, String, String)> {
    let select = "select action, who, note from dtx_repair";
    sqlx::query_as(select).fetch_all(scene.world.at[2].pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_tried_and_then_ends_the_transaction_and_frees_its_row() {
    let scene = Scene::new().await;
    let branch = scene.parked_branch();
    let [resource, xid, id] = branch.each_ref().map(String::as_str);
    let repair = |more: &[&str]| scene.run(&[&["repair", resource, xid, id, "--restore"], more].concat());
    let inspected = scene.run(&["inspect", resource, xid, id]).good();
    let fingerprint = &words(&inspected, "fingerprint")[1];

    let told = repair(&[]).bad(2);
    assert!(told.contains(&format!("`onceward-dtx inspect wallet {xid} {id}` first")), "{told}");
    let told = repair(&["--fingerprint", "00"]).bad(1);
    assert!(told.contains("changed since they were shown"), "{told}");

    let tried = repair(&["--fingerprint", fingerprint, "--dry-run"]).good();
    assert_eq!(words(&tried, "account"), ["account", "1", "updated"]);
    assert!(tried.contains("WOULD BE") && tried.contains("is still parked"), "{tried}");
    let json = repair(&["--fingerprint", fingerprint, "--dry-run", "--json"]).json();
    assert_eq!((&json["dry_run"], &json["state"]), (&json!(true), &json!(null)));
    assert_eq!(scene.world.balance(2, 1).await, Some(5), "nothing was changed");
    assert_eq!((scene.world.dtx.parked().await.unwrap().len(), kept(&scene).await.len()), (1, 0));

    let json = repair(&["--fingerprint", fingerprint, "--note", "the import", "--json"]).json();
    let expected = json!({
        "resource_id": "wallet", "xid": xid, "branch_id": id, "action": "restore", "who": "tess", "note": "the import",
        "dry_run": false, "rows": [{ "table": "account", "key": "1", "effect": "updated" }], "state": "rolled-back",
    });
    assert_eq!(json, expected);
    assert_eq!(scene.world.balance(2, 1).await, Some(100));
    assert_eq!(kept(&scene).await, [("restore".to_owned(), "tess".to_owned(), "the import".to_owned())]);
    let locks = scene.run(&["locks", "--resource-id", "wallet"]).good();
    assert_eq!(locks, "no such locks\n");
    let told = repair(&["--fingerprint", fingerprint]).bad(1);
    assert!(told.contains("is not parked"), "the second of two who repair: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_stays_as_it_is() {
    let scene = Scene::new().await;
    let branch = scene.parked_branch();
    let [resource, xid, id] = branch.each_ref().map(String::as_str);
    let inspected = scene.run(&["inspect", resource, xid, id, "--json"]).json();
    let fingerprint = inspected["fingerprint"].as_str().unwrap();
    let keep = ["repair", resource, xid, id, "--keep", "--fingerprint", fingerprint, "--who", "uma"];
    let text = scene.run(&keep).good();
    assert_eq!(text, format!("no row was changed\nbranch {id} is ended (keep); transaction {xid}: rolled-back\n"));
    assert_eq!(scene.world.balance(2, 1).await, Some(5));
    assert_eq!(kept(&scene).await, [("keep".to_owned(), "uma".to_owned(), String::new())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_wants_its_resource_one_choice_and_a_name() {
    let scene = Scene::new().await;
    let [_, xid, id] = scene.parked_branch();
    let (xid, id) = (xid.as_str(), id.as_str());
    let told = scene.run(&["repair", "stock", xid, id, "--keep", "--fingerprint", "00"]).bad(1);
    assert!(told.contains(&format!("branch {id} of {xid} is of wallet, not of stock")), "{told}");
    let told = scene.run(&["inspect", "bank", xid, id]).bad(2);
    assert!(told.contains("--resource bank=URL"), "{told}");
    for choice in [&[][..], &["--keep", "--done"]] {
        let ran = scene.run(&[&["repair", "wallet", xid, id, "--fingerprint", "00"], choice].concat());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("--keep"), "{}", ran.err);
    }
    let anonymous = ["repair", "wallet", xid, id, "--keep", "--fingerprint", "00"];
    let told = run_with(&anonymous, &[("USER", "")]).bad(2);
    assert!(told.contains("--who"), "{told}");
    assert_eq!(scene.world.dtx.parked().await.unwrap().len(), 1);
}
