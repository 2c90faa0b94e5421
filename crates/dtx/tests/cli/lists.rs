//! `list`, `locks`, `waiters`, `undo` and `parked`, as tables and as JSON.

use serde_json::{Value, json};

use crate::scene::Scene;
use crate::tool::words;

/// The field of each.
fn each<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}

/// A line of words, without the age among them.
fn without_age(mut words: Vec<String>, at: usize) -> Vec<String> {
    let age = words.remove(at);
    assert!(age.ends_with('s'), "{age} in {words:?}");
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_listed_by_state_age_and_attempts() {
    let scene = Scene::new().await;
    let (open, stuck, parked) = (scene.open.xid(), scene.stuck.as_str(), scene.parked.xid.as_str());
    let table = scene.run(&["list"]).good();
    assert_eq!(words(&table, "XID").len(), 9);
    assert_eq!(without_age(words(&table, open), 3), [open, "open", "active", "0", "0/1", "1", "1"]);
    assert_eq!(without_age(words(&table, &scene.waiting), 3)[1..], ["waiting", "active", "0", "0/0", "0", "0"]);
    assert_eq!(without_age(words(&table, stuck), 4)[1..], ["stuck", "rolling-back", "failed", "1", "0/1", "1", "0"]);
    assert_eq!(without_age(words(&table, parked), 4)[1..], ["parked", "parked", "failed", "0", "0/1", "1", "0"]);
    let columns = |line: &str| line.find("open").or(line.find("waiting")).or(line.find("NAME"));
    let starts: Vec<_> = table.lines().take(3).map(columns).collect();
    assert_eq!(starts, [starts[0]; 3], "one below the other:\n{table}");

    let listed = |args: &[&str]| {
        let json = scene.run(&[args, &["--json"]].concat()).json();
        assert_eq!(json["cut"], false, "{args:?}");
        each(&json["transactions"], "name").join(" ")
    };
    assert_eq!(listed(&["list"]), "open waiting stuck parked", "the oldest first, without what is over");
    assert_eq!(listed(&["list", "--state", "committed"]), "committed");
    assert_eq!(listed(&["list", "--state", "rolling-back", "--state", "active"]), "open waiting stuck");
    assert_eq!(listed(&["list", "--stuck", "--older-than", "0s"]), "stuck parked");
    assert_eq!(listed(&["list", "--tries", "1"]), "stuck");
    assert_eq!(listed(&["list", "--older-than", "1d"]), "");
    assert_eq!(scene.run(&["list", "--older-than", "1d"]).good(), "no such transactions\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_says_so() {
    let scene = Scene::new().await;
    let cut = scene.run(&["list", "--limit", "3", "--json"]);
    assert_eq!(cut.code, 0);
    assert_eq!(cut.err.lines().count(), 1);
    assert!(cut.err.contains("the oldest 3") && cut.err.contains("--limit"), "{}", cut.err);
    let json: Value = serde_json::from_str(&cut.out).unwrap();
    assert_eq!((&json["cut"], each(&json["transactions"], "name").len()), (&json!(true), 3));
    assert_eq!(scene.run(&["list", "--limit", "4", "--json"]).json()["cut"], false, "it is all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_listed_by_row_and_by_transaction() {
    let scene = Scene::new().await;
    let open = scene.open.xid();
    let table = scene.run(&["locks"]).good();
    let line = |first: &str| without_age(words(&table, first), 4);
    assert_eq!(line("orders"), ["orders", "account", "1", open, "its", "transaction"]);
    assert_eq!(line("wallet"), ["wallet", "account", "1", &scene.parked.xid, "its", "parked", "branch"]);
    let found = |args: &[&str]| {
        let json = scene.run(&[&["locks", "--json"], args].concat()).json();
        each(&json["locks"], "resource_id").join(" ")
    };
    assert_eq!(found(&[]), "orders stock wallet");
    assert_eq!(found(&["--resource-id", "stock"]), "stock");
    assert_eq!(found(&["--table", "account", "--xid", open]), "orders");
    assert_eq!(found(&["--table", "accounts"]), "");
    let mut json = scene.run(&["locks", "--json", "--resource-id", "wallet"]).json();
    let lock = json["locks"][0].as_object_mut().unwrap();
    assert!(lock.remove("age_ms").unwrap().is_u64());
    assert_eq!(
        json["locks"],
        json!([{ "resource_id": "wallet", "table": "account", "key": "1", "xid": scene.parked.xid, "parked": true }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_are_listed_with_who_holds_their_rows() {
    let scene = Scene::new().await;
    let (open, waiting) = (scene.open.xid(), &scene.waiting);
    assert_eq!(scene.run(&["waiters"]).line(waiting), [waiting, "orders", "account", "1", open]);
    let wants = json!([{ "resource_id": "orders", "table": "account", "key": "1", "holder": open }]);
    let expected = json!({ "waiters": [{ "xid": waiting, "wants": wants }] });
    assert_eq!(scene.run(&["waiters", "--json"]).json(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_resources_is_listed() {
    let scene = Scene::new().await;
    let undo = scene.run(&["undo"]).good();
    assert_eq!(words(&undo, "orders")[1], scene.open.xid());
    assert_eq!(words(&undo, "stock")[1], scene.stuck);
    let json = scene.run(&["undo", "--json"]).json();
    assert_eq!(each(&json["undo"], "resource_id"), ["orders", "stock"]);
    assert_eq!(each(&json["undo"], "branch_id")[0], words(&undo, "orders")[2]);
    assert!(json["undo"][0]["age_ms"].is_u64());

    let [resource, xid, branch] = scene.parked_branch();
    let parked = scene.run(&["parked"]).line("wallet");
    assert_eq!(parked[..3], [resource.clone(), xid.clone(), branch.clone()]);
    assert!(parked[4..].join(" ").contains("account:1"), "the reason: {parked:?}");
    let mut json = scene.run(&["parked", "--json"]).json();
    let shown = json["parked"][0].as_object_mut().unwrap();
    assert!(shown.remove("age_ms").unwrap().is_u64());
    let expected = json!([{ "resource_id": resource, "xid": xid, "branch_id": branch, "reason": scene.parked.reason }]);
    assert_eq!(json["parked"], expected);
}
