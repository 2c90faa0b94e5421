//! Inserts as the README has them, by a driver that knows nothing of this crate.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use onceward_backend::{
    Db,
    internal::{Sql, begin},
    sqlx,
};
use onceward_reliable_mq::{
    Broker, Envelope, MemoryBroker, Message, MessageFilter, Outbox, Relay, RelayOptions, Subscription,
};

/// What is bound.
pub struct Plain<'a> {
    pub id: &'a str,
    pub topic: &'a str,
    pub key: Option<&'a str>,
    pub headers: &'a str,
    pub payload: &'a [u8],
}

/// The SQL of the README that follows these words.
pub fn sql_after(words: &str) -> &'static str {
    let (_, rest) = include_str!("../../README.md").split_once(words).unwrap();
    rest.split_once("```sql\n").unwrap().1.split_once("\n```").unwrap().0
}

/// The same for a message that is to wait, made as the README says.
pub fn delayed(statement: &str, delay: Duration) -> String {
    let into = sql_after("A message that is to wait goes into another table");
    let (_, values) = statement.split_once('\n').unwrap();
    let values = values.strip_suffix(')').unwrap();
    let time = values.rsplit_once("5, ").or_else(|| values.rsplit_once("?, ")).unwrap().1;
    format!("{into}\n{values}, 0, 0, 0, {time} + {})", delay.as_micros())
}

fn plain<'a>(id: &'a str, key: Option<&'a str>) -> Plain<'a> {
    Plain { id, topic: "topic", key, headers: "{}", payload: id.as_bytes() }
}

/// Whatever a driver answers.
type Inserted = Result<(), sqlx::Error>;

pub async fn others_enqueue_into_the_order_of_a_key<D: Db>(
    outbox: &Outbox<D>,
    insert: impl AsyncFn(Plain<'_>, Option<Duration>) -> Inserted,
) {
    const KEYS: [&str; 9] = ["a", "b", "order-7", "customer/42", "k", "\\\"'", "~!", "0", "9876543210"];
    let ours = async |id: &str, key: &str| {
        let mut tx = begin(outbox.pool()).await.unwrap();
        outbox.enqueue(&mut tx, &Message::to("topic").key(key).text(id).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    };
    for n in 0..3 {
        for (at, key) in KEYS.into_iter().enumerate() {
            insert(plain(&format!("{at}-{n}-other"), Some(key)), None).await.unwrap();
            ours(&format!("{at}-{n}-own"), key).await;
        }
    }
    let whole = Plain {
        id: "whole",
        topic: "topic",
        key: None,
        headers: r#"{"tenant": "acme", "quote": "\"'\\ ü 🦀\n"}"#,
        payload: &(0..=255).collect::<Vec<u8>>(),
    };
    insert(whole, None).await.unwrap();
    insert(plain("later", None), Some(Duration::from_secs(3600))).await.unwrap();
    insert(plain("soon", None), Some(Duration::ZERO)).await.unwrap();
    let again = insert(plain("later", None), Some(Duration::ZERO)).await;
    assert!(again.is_err(), "it is there already");
    for headers in ["", "{", "text"] {
        assert!(insert(Plain { headers, ..plain("broken", None) }, None).await.is_err(), "{headers:?}");
    }

    // Who does not let the database read the headers may write anything.
    insert(plain("spoilt", None), None).await.unwrap();
    let spoil = "update mq_hot set headers = 'text' where message_id = 'spoilt'";
    Sql::<D>::new().sql(spoil).execute(&mut outbox.pool().acquire().await.unwrap()).await.unwrap();
    let of_tenant = outbox.store().messages(&MessageFilter::default().with_tenant("acme")).await.unwrap();
    assert_eq!(of_tenant.iter().map(|message| message.message_id.as_str()).collect::<Vec<_>>(), ["whole"]);

    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    broker.subscribe(&Subscription::new("queue").topic("topic")).await.unwrap();
    let options = RelayOptions::default().with_allow_volatile(true);
    let relay = Relay::new(outbox.store(), Arc::clone(&broker), options).unwrap();
    while relay.step().await.unwrap().more {}
    let counts = outbox.store().counts().await.unwrap();
    assert_eq!((counts.hot, counts.delayed, counts.dead), (0, 1, 1));

    // What others insert wrongly is parked, and holds up nobody.
    for (id, headers) in [("list", "[]"), ("number", r#"{"a": 1}"#), ("an id", "{}")] {
        insert(Plain { headers, ..plain(id, Some("k")) }, None).await.unwrap();
        insert(Plain { headers, ..plain(&format!("{id} later"), Some("k")) }, Some(Duration::ZERO)).await.unwrap();
    }
    ours("behind", "k").await;
    while relay.step().await.unwrap().more {}
    let counts = outbox.store().counts().await.unwrap();
    assert_eq!((counts.hot, counts.delayed, counts.dead), (0, 1, 7));
    insert(Plain { payload: b"another", ..plain("an id", Some("k")) }, None).await.unwrap();
    while relay.step().await.unwrap().more {}
    let dead = outbox.store().dead(10).await.unwrap();
    assert!(dead.iter().any(|letter| letter.envelope.payload() == "another"), "two under one id that is none are two");
    let reason = |id: &str| dead.iter().find(|letter| letter.envelope.id.as_str() == id).unwrap();
    assert!(reason("list").error.contains("headers") && reason("an id").error.contains("message id"));
    assert_eq!(reason("number").envelope.header("unreadable-headers").map(|raw| raw.contains('1')), Some(true));

    let deliveries = broker.receive("queue", 1000).await.unwrap();
    let came: Vec<&Envelope> = deliveries.iter().map(|delivery| delivery.envelope()).collect();
    let mut of_key: BTreeMap<&str, Vec<&Envelope>> = BTreeMap::new();
    for message in came.iter().filter_map(|message| Some((message.key()?, *message))) {
        of_key.entry(message.0).or_default().push(message.1);
    }
    for (at, key) in KEYS.into_iter().enumerate() {
        let texts: Vec<_> = of_key[key].iter().map(|message| String::from_utf8_lossy(message.payload())).collect();
        let expected: Vec<_> = (0..3).flat_map(|n| ["other", "own"].map(|who| format!("{at}-{n}-{who}"))).collect();
        let expected = [expected, if key == "k" { vec!["behind".to_owned()] } else { Vec::new() }].concat();
        assert_eq!(texts, expected, "{key}");
        let lanes: Vec<_> = of_key[key].iter().map(|message| message.origin.unwrap().lane).collect();
        assert!(lanes.iter().all(|lane| *lane == lanes[0]), "{key}: {lanes:?}");
    }
    let whole = came.iter().find(|message| message.id.as_str() == "whole").unwrap();
    assert_eq!((whole.tenant(), whole.headers().len()), (Some("acme"), 2));
    assert_eq!((whole.header("quote"), whole.payload().len()), (Some("\"'\\ ü 🦀\n"), 256));
    let own = came.iter().find(|message| message.payload().ends_with(b"own")).unwrap();
    assert!((own.enqueued_at - whole.enqueued_at).abs() < 60_000_000, "microseconds since 1970");
    assert!(came.iter().any(|message| message.id.as_str() == "soon"));
}
