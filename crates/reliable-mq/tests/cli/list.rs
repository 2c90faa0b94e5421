//! `list`, as a table and as JSON.

use serde_json::{Value, json};

use crate::scene::Scene;
use crate::tool::{each, words};

#[tokio::test]
async fn messages_are_listed_by_where_they_stand() {
    let scene = Scene::new().await;
    let table = scene.run(&["list"]).good();
    let line = words(&table, "failed");
    assert_eq!(line[1..4], ["refused", "k", "failed"]);
    assert!(line[4].ends_with('s') && line[6].contains('m'), "its age, and when it is due: {table}");
    assert_eq!((line[5].as_str(), line[7..].join(" ").as_str()), ("1", "rejected: full"));
    assert_eq!(words(&table, "MESSAGE").len(), 9);

    let listed = |args: &[&str]| {
        let json = scene.run(&[&["list", "--json"], args].concat()).json();
        assert_eq!(json["cut"], false, "{args:?}");
        each(&json["messages"], "message_id").join(" ")
    };
    assert_eq!(
        listed(&[]),
        "failed behind dead binary delayed held pending",
        "the oldest first, without what was sent"
    );
    for (state, ids) in [
        ("pending", "behind pending"),
        ("delayed", "delayed"),
        ("failed", "failed"),
        ("held", "held"),
        ("dead", "dead binary"),
        ("sent", "sent"),
    ] {
        assert_eq!(listed(&["--state", state]), ids, "{state}");
    }
    assert_eq!(listed(&["--state", "sent", "--state", "held"]).len(), "sent held".len());
    assert_eq!(listed(&["--topic", "fine"]), "behind pending");
    assert_eq!(listed(&["--key", "k"]), "failed behind");
    assert_eq!(listed(&["--key", "k", "--topic", "fine", "--state", "pending"]), "behind");
    assert_eq!(listed(&["--tenant", "acme"]), "binary");
    assert_eq!(listed(&["--tenant", "acme", "--state", "pending"]), "");
    assert_eq!(listed(&["--error", "full"]), "failed");
    assert_eq!(listed(&["--error", "Full"]), "", "upper and lower case are told apart");
    assert_eq!(listed(&["--error", "%"]), "", "a text, and no pattern");
    assert_eq!(listed(&["--older-than", "1d"]), "");
    scene.execute("update mq_hot set enqueued_at = enqueued_at - 172800000000 where message_id = 'pending'").await;
    assert_eq!(listed(&["--older-than", "1d"]), "pending");
    assert_eq!(scene.run(&["list", "--topic", "nothing"]).good(), "no such messages\n");
}

#[tokio::test]
async fn a_message_is_told_to_programs_in_full() {
    let scene = Scene::new().await;
    let mut json = scene.run(&["list", "--json", "--state", "failed"]).json();
    let failed = json["messages"][0].as_object_mut().unwrap();
    for age in ["age_ms", "since_ms", "due_ms"] {
        assert!(failed.remove(age).unwrap().is_u64(), "{age}");
    }
    let expected = json!({
        "message_id": "failed", "topic": "refused", "key": "k", "state": "failed", "attempts": 1,
        "error": "rejected: full", "blocks": true, "xid": null, "tenant": null,
    });
    assert_eq!(json["messages"][0], expected);
    let json = scene.run(&["list", "--json", "--state", "held"]).json();
    assert_eq!((&json["messages"][0]["xid"], &json["messages"][0]["due_ms"]), (&json!("x.1"), &json!(null)));
}

#[tokio::test]
async fn a_list_that_is_cut_says_so() {
    let scene = Scene::new().await;
    let cut = scene.run(&["list", "--limit", "3", "--json"]);
    assert_eq!((cut.code, cut.err.lines().count()), (0, 1));
    assert!(cut.err.contains("the oldest 3") && cut.err.contains("--limit"), "{}", cut.err);
    let json: Value = serde_json::from_str(&cut.out).unwrap();
    assert_eq!(
        (&json["cut"], each(&json["messages"], "message_id").join(" ").as_str()),
        (&json!(true), "failed behind dead")
    );
    assert_eq!(scene.run(&["list", "--limit", "7", "--json"]).json()["cut"], false, "it is all of them");
}
