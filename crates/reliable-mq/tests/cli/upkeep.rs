//! `release`, `purge` and `schema`.

use onceward_backend::{sqlite, sqlx};
use onceward_reliable_mq::{Message, MessageId, Outbox};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::tool::{run, url};

#[tokio::test]
async fn a_released_key_goes_on_without_the_message_that_blocks_it() {
    let scene = Scene::new().await;
    scene.relay.step().await.unwrap();
    assert!(!scene.accepted("fine").contains(&"second".to_owned()));
    assert_eq!(scene.run(&["release", "other"]).good(), "no message blocks the key other\n");
    let text = scene.run(&["release", "k"]).good();
    assert!(text.starts_with("key k goes on; messages that blocked it: 1,"), "{text}");
    while scene.relay.step().await.unwrap().more {}
    assert!(scene.accepted("fine").contains(&"second".to_owned()));
    assert_eq!(scene.run(&["release", "k", "--json"]).json(), json!({ "key": "k", "released": 0 }), "said twice");
    assert_eq!(scene.run(&["list", "--json", "--state", "failed"]).json()["messages"][0]["blocks"], false);
}

#[tokio::test]
async fn the_messages_of_a_paused_topic_wait_and_go_on() {
    let scene = Scene::new().await;
    let text = scene.run(&["pause", "fine"]).good();
    assert!(text.starts_with("topic fine is paused: its messages wait;"), "{text}");
    let again = json!({ "topic": "fine", "paused": true, "changed": false });
    assert_eq!(scene.run(&["pause", "fine", "--json"]).json(), again, "said twice");
    scene.outbox.store().enqueue(&[Message::to("fine").text("waits").unwrap()]).await.unwrap();
    scene.relay.step().await.unwrap();
    assert!(!scene.accepted("fine").contains(&"waits".to_owned()));
    assert!(scene.run(&["status"]).good().contains("topic fine is paused: onceward-mq resume fine"));
    assert_eq!(scene.run(&["status", "--json"]).json()["paused"], json!(["fine"]));
    assert_eq!(scene.run(&["resume", "fine"]).good(), "topic fine goes on, in the order of its messages\n");
    assert_eq!(scene.run(&["resume", "fine"]).good(), "topic fine was not paused\n");
    while scene.relay.step().await.unwrap().more {}
    assert!(scene.accepted("fine").contains(&"waits".to_owned()));
    scene.run(&["pause", "no topic"]).bad(1);
}

#[tokio::test]
async fn the_history_is_purged_by_age_and_dead_letters_stay() {
    let scene = Scene::new().await;
    let json = scene.run(&["purge", "--older-than", "30d", "--json"]).json();
    assert_eq!(json, json!({ "what": "history", "older_than_ms": 2_592_000_000_u64, "purged": 0 }));
    scene.execute("update mq_history set at = at - 2678400000000 where message_id = 'sent'").await;
    let text = scene.run(&["purge", "--older-than", "30d"]).good();
    assert_eq!(text, "1 rows of the history older than 30d00h purged\n");
    scene.run(&["show", "sent"]).bad(1);
    scene.run(&["show", "failed"]).good();
    assert_eq!(scene.counts().await.dead, 2);
}

#[tokio::test]
async fn dead_letters_are_purged_only_if_that_is_meant() {
    let scene = Scene::new().await;
    // More than one batch, and more than two weeks old.
    scene.bury(2500).await;
    scene.execute("update mq_dead set dead_at = dead_at - 1209600000001 where topic = 'mass'").await;
    let told = scene.run(&["purge", "--older-than", "14d", "--dead"]).bad(2);
    assert!(told.contains("never sent") && told.contains("--yes"), "{told}");
    assert_eq!(scene.counts().await.dead, 2502);
    // It may take long enough to say how far it is.
    let purged = scene.run(&["purge", "--older-than", "14d", "--dead", "--yes", "--json"]);
    assert_eq!(purged.code, 0, "{}", purged.err);
    let json: Value = serde_json::from_str(&purged.out).unwrap();
    assert_eq!(json, json!({ "what": "dead", "older_than_ms": 1_209_600_000, "purged": 2500 }));
    assert_eq!(scene.counts().await.dead, 2, "what is younger stays");
    let history = scene.outbox.store().attempts(&MessageId::parse("dead").unwrap()).await.unwrap();
    assert_eq!(history.len(), 1, "the history stays");
    let told = scene.run(&["purge"]);
    assert!(told.code == 2 && told.err.contains("--older-than"), "{}", told.err);
}

#[tokio::test]
async fn the_schema_makes_what_the_services_would_make() {
    let sql = run(&["schema", "--dialect", "sqlite"]).good();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.db");
    let pool = sqlite::open(&path).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&pool).await.unwrap();
    let made = run(&["status", "--json", "--store", &url(&path)]).json();
    assert_eq!(made["lanes"].as_array().unwrap().len(), 1);
    let tables = async |pool: &sqlx::SqlitePool| {
        let select = "select name, sql from sqlite_master where name not like 'sqlite_%' order by name";
        sqlx::query_as::<_, (String, Option<String>)>(select).fetch_all(pool).await.unwrap()
    };
    let migrated = Outbox::new(sqlite::memory().await.unwrap());
    migrated.migrate().await.unwrap();
    assert_eq!(tables(&pool).await, tables(migrated.pool()).await);
    assert_eq!(run(&["schema", "--dialect", "sqlite", "--json"]).json(), json!({ "dialect": "sqlite", "sql": sql }));
    for (dialect, word) in [("postgres", "bytea"), ("mysql", "longblob")] {
        let sql = run(&["schema", "--dialect", dialect]).good();
        assert!(sql.contains(word) && sql.contains("values (7, '', 0, 0);"), "{sql}");
    }
    assert_eq!(run(&["schema", "--dialect", "oracle"]).code, 2);
}
