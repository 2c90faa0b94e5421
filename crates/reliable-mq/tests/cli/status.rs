//! `status`, as tables and as JSON.

use onceward_backend::{sqlite, sqlx::Sqlite};
use onceward_reliable_mq::{Message, Outbox};
use serde_json::json;

use crate::scene::Scene;
use crate::tool::{run, url, words};

#[tokio::test]
async fn counts_and_lanes_are_shown_the_oldest_age_first() {
    let scene = Scene::new().await;
    scene.bury(3).await;
    scene
        .execute(
            "insert into mq_held (xid, hold_id, shard, message_id, topic, msg_key, headers, payload, enqueued_at, due_at) \
             select 'x.2', 'h', 0, message_id, topic, null, '{}', payload, enqueued_at, 0 from mq_dead where topic = 'mass'",
        )
        .await;
    scene.outbox.store().enqueue(&[Message::to("fine").text("").unwrap()]).await.unwrap();
    let text = scene.run(&["status"]).good();
    assert_eq!(words(&text, "OLDEST"), ["OLDEST", "HOT", "DELAYED", "FAILED", "HELD", "DEAD"]);
    let counts: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(counts[0].ends_with('s'), "an age: {text}");
    assert_eq!(counts[1..], ["3", "2", "1", "4", "5"]);
    assert_eq!(words(&text, "LANE"), ["LANE", "OWNER", "LEASE", "HOT", "DELAYED", "LAG"]);
    let lane = words(&text, "0");
    assert_eq!((lane[1].as_str(), &lane[3..5]), ("relay-1", &["3".to_owned(), "2".to_owned()][..]));
    assert!(lane[2].contains('m') && lane[5].ends_with('s'), "{text}");
    assert_eq!(words(&text, "RELAY"), ["RELAY", "LANES", "ALIVE"]);
    let relay = words(&text, "relay-1");
    assert!(relay[1] == "1" && relay[2].contains('m'), "{text}");

    let mut json = scene.run(&["status", "--json"]).json();
    let lane = json["lanes"][0].as_object_mut().unwrap();
    assert!(lane.remove("lease_ms").unwrap().as_u64().unwrap() > 3_000_000);
    assert!(lane.remove("lag_ms").unwrap().is_u64());
    assert!(json["relays"][0].as_object_mut().unwrap().remove("alive_ms").unwrap().as_u64().unwrap() > 3_000_000);
    assert!(json.as_object_mut().unwrap().remove("oldest_ms").unwrap().is_u64());
    let lanes = json!([{ "lane": 0, "owner": "relay-1", "epoch": 1, "hot": 3, "delayed": 2 }]);
    assert_eq!(
        json,
        json!({
            "hot": 3, "delayed": 2, "failed": 1, "held": 4, "dead": 5, "paused": [], "lanes": lanes,
            "relays": [{ "owner": "relay-1", "lanes": [0] }]
        })
    );
}

#[tokio::test]
async fn topics_are_told_apart() {
    let scene = Scene::new().await;
    let text = scene.run(&["status", "--topic"]).good();
    for (topic, counts) in [
        ("fine", "2 0 0 0 0"),
        ("gone", "0 0 0 0 2"),
        ("later", "0 1 0 0 0"),
        ("refused", "0 1 1 0 0"),
        ("order", "0 0 0 1 0"),
    ] {
        let line = words(&text, topic);
        let ages = usize::from(["fine", "later", "refused"].contains(&topic));
        assert_eq!(line[1 + ages..].join(" "), counts, "{topic} in {text}");
    }
    let mut json = scene.run(&["status", "--topic", "refused", "--json"]).json();
    assert_eq!(json["topics"].as_array().unwrap().len(), 1);
    let topic = json["topics"][0].as_object_mut().unwrap();
    assert!(topic.remove("oldest_ms").unwrap().is_u64());
    let expected = json!({ "topic": "refused", "hot": 0, "delayed": 1, "failed": 1, "held": 0, "dead": 0 });
    assert_eq!(json["topics"][0], expected);
    assert!(scene.run(&["status", "--topic", "nothing"]).good().ends_with("no messages of such a topic\n"));
}

#[tokio::test]
async fn an_outbox_that_nobody_uses_has_a_free_lane() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.db");
    Outbox::<Sqlite>::new(sqlite::open(&path).await.unwrap()).migrate().await.unwrap();
    let text = run(&["status", "--store", &url(&path)]).good();
    assert!(text.contains("nothing waits"), "{text}");
    assert_eq!(words(&text, "0"), ["0", "free", "0", "0"]);
    assert!(text.ends_with("no relay lives\n"), "{text}");
    let json = run(&["status", "--json", "--store", &url(&path)]).json();
    assert_eq!((&json["oldest_ms"], &json["lanes"][0]["owner"]), (&json!(null), &json!(null)));
    assert_eq!((&json["lanes"][0]["lease_ms"], &json["lanes"][0]["lag_ms"]), (&json!(null), &json!(null)));
}
