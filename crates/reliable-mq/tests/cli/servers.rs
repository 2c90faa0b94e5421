//! The same program on servers.

use onceward_backend::sqlx::{self, Executor, Pool};
use onceward_backend::{Conn, Db, RetryPolicy};
use onceward_reliable_mq::{Message, Outbox, Outcome, Relay, RelayOptions};
use serde_json::json;

use crate::double::{Double, rejected, text};
use crate::scene::LONG;
use crate::tool::{each, run};

/// From an empty database to a letter that was replayed: every command on the way.
async fn every_command<D: Db>(pool: Pool<D>, url: &str) {
    let dialect = D::DIALECT.name();
    let on = |args: &[&str]| run(&[args, &["--store", url]].concat());
    assert!(on(&["list"]).bad(2).contains("no database with an outbox"));
    let schema = run(&["schema", "--dialect", dialect]).good();
    let mut conn = pool.acquire().await.unwrap();
    conn.executor().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(schema))).await.unwrap();
    drop(conn);
    assert_eq!(on(&["status", "--json"]).json()["lanes"].as_array().unwrap().len(), 8, "made by the schema");

    let outbox = Outbox::<D>::new(pool);
    outbox.migrate().await.unwrap();
    let broker = Double::new(|message, tries| match (message.topic(), tries) {
        ("gone", 1) => Outcome::Rejected { reason: "no customer".to_owned(), permanent: true },
        ("refused", 1) => rejected(),
        _ => Outcome::Accepted,
    });
    // The pause is a random share of that.
    let retry = RetryPolicy::exponential().with_base(LONG * 10_000).with_max(LONG * 10_000);
    let options = RelayOptions::default().with_owner("relay-1").with_retry(retry);
    let relay = Relay::new(outbox.store(), broker.clone(), options).unwrap();
    let messages = [
        Message::to("gone").key("g").header("lang", "de").text("gone"),
        Message::to("refused").key("k").text("first"),
        Message::to("fine").key("k").text("second"),
        Message::to("later").delay(LONG).text("later"),
        Message::to("fine").text("sent"),
    ];
    let ids = outbox.store().enqueue(&messages.map(Result::unwrap)).await.unwrap();
    relay.step().await.unwrap();

    let status = on(&["status", "--topic", "--json"]).json();
    let counts = ["hot", "delayed", "failed", "held", "dead"].map(|place| status[place].as_u64().unwrap());
    assert_eq!(counts, [1, 2, 1, 0, 1]);
    assert_eq!(each(&status["topics"], "topic"), ["fine", "gone", "later", "refused"]);
    assert_eq!(each(&status["lanes"], "owner"), ["relay-1"; 8]);
    assert_eq!(status["lanes"].as_array().unwrap().iter().filter(|lane| lane["lag_ms"].is_u64()).count(), 1);
    on(&["status"]).good();
    let states = |args: &[&str]| {
        let json = on(&[&["list", "--json"], args].concat()).json();
        let mut states: Vec<_> = each(&json["messages"], "state").into_iter().map(str::to_owned).collect();
        states.sort();
        states.join(" ")
    };
    assert_eq!(states(&[]), "dead delayed failed pending");
    assert_eq!(states(&["--state", "sent", "--state", "held"]), "sent");
    assert_eq!(states(&["--key", "k"]), "failed pending");
    assert_eq!(states(&["--error", "full"]), "failed");
    assert_eq!(states(&["--error", "FULL"]), "");
    assert_eq!(states(&["--topic", "gone", "--older-than", "0s"]), "dead");
    assert_eq!(states(&["--older-than", "1d"]), "");

    let (dead, refused) = (ids[0].as_str(), ids[1].as_str());
    let shown = on(&["show", dead, "--payload", "--json"]).json();
    assert_eq!((&shown["payload"]["text"], &shown["headers"]), (&json!("gone"), &json!({ "lang": "de" })));
    assert_eq!(each(&shown["history"], "error"), ["rejected: no customer"]);
    assert!(on(&["dead", "--attempts"]).good().contains("no customer"));
    assert!(on(&["show", "nobody"]).bad(1).contains("no message nobody"));
    on(&["replay", dead, "--inbox-retention", "0s"]).bad(1);
    assert!(on(&["replay", "--all", "--dry-run"]).good().ends_with("tried only: 1 would be replayed\n"));
    assert_eq!(on(&["replay", "--error", "customer", "--json"]).json()["done"], 1);
    assert_eq!(on(&["release", "k", "--json"]).json()["released"], 1);
    assert_eq!(on(&["resend", refused, "--json"]).json()["done"], 1);
    assert_eq!(on(&["resend", refused, "--json"]).json()["done"], 1, "said twice, it is the same");
    while relay.step().await.unwrap().more {}
    let mut sent: Vec<_> = broker.accepted().iter().map(text).collect();
    sent.sort();
    assert_eq!(sent, ["first", "gone", "second", "sent"], "each once");
    let left = outbox.store().counts().await.unwrap();
    assert_eq!((left.hot, left.delayed, left.dead), (0, 1, 0));

    let purged = on(&["purge", "--older-than", "0s", "--json"]).json();
    assert_eq!(purged["purged"], 6, "four were sent, after two failures");
    assert_eq!(on(&["purge", "--older-than", "0s", "--dead", "--yes", "--json"]).json()["purged"], 0);
    // The server refuses who asks, and the program does not tell the password.
    let (scheme, host) = (url.split("://").next().unwrap(), url.rsplit('@').next().unwrap());
    let told = run(&["list", "--store", &format!("{scheme}://nobody:hunter2@{host}")]).bad(2);
    assert!(told.contains("--store: the database cannot be reached") && !told.contains("hunter2"), "{told}");
}

#[cfg(feature = "test-postgres")]
#[tokio::test]
async fn every_command_on_postgres() {
    let database = testkit::postgres::database().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    every_command(pool, database.url()).await;
}

#[cfg(feature = "test-mysql")]
#[tokio::test]
async fn every_command_on_mariadb() {
    let database = testkit::mysql::database().await;
    let pool = sqlx::MySqlPool::connect(database.url()).await.unwrap();
    every_command(pool, database.url()).await;
}
