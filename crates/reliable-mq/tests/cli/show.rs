//! `show`: one message.

use onceward_reliable_mq::Message;
use serde_json::json;

use crate::scene::Scene;
use crate::tool::words;

#[tokio::test]
async fn a_message_is_shown_with_its_headers_and_attempts() {
    let scene = Scene::new().await;
    let text = scene.run(&["show", "failed"]).good();
    assert!(text.starts_with("failed  refused  k\nfailed for "), "{text}");
    assert!(text.contains(", attempts: 1, due in ") && text.contains("\nrejected: full\n"), "{text}");
    assert!(text.contains("those of its key behind it wait"), "{text}");
    assert_eq!(words(&text, "lang"), ["lang", "de"]);
    let attempt = words(&text, "1");
    assert_eq!((attempt[1].as_str(), attempt[3..].join(" ").as_str()), ("failed", "rejected: full"));
    assert!(!text.contains("first") && !text.contains("payload"), "values are shown on request only: {text}");

    let mut json = scene.run(&["show", "failed", "--json"]).json();
    assert_eq!(json["message"]["state"], "failed");
    assert!(json["history"][0].as_object_mut().unwrap().remove("at_ms").unwrap().as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(json["history"], json!([{ "attempt": 1, "outcome": "failed", "error": "rejected: full" }]));
    assert_eq!((&json["headers"], &json["payload"]), (&json!({ "lang": "de" }), &json!(null)));
}

#[tokio::test]
async fn a_message_is_shown_wherever_it_stands() {
    let scene = Scene::new().await;
    for (id, said) in [
        ("behind", "\npending for "),
        ("delayed", "\ndelayed for "),
        ("dead", "\ndead for "),
        ("held", "held back by the global transaction x.1"),
        ("sent", "\nsent "),
    ] {
        let text = scene.run(&["show", id]).good();
        assert!(text.contains(said), "{id}: {text}");
        assert_eq!(scene.run(&["show", id, "--json"]).json()["message"]["message_id"], id);
    }
    let json = scene.run(&["show", "sent", "--json", "--payload"]).json();
    assert_eq!((&json["headers"], &json["payload"]), (&json!(null), &json!(null)), "it is deleted");
    scene.execute("delete from mq_delayed where message_id = 'failed'").await;
    let text = scene.run(&["show", "failed"]).good();
    assert!(text.starts_with("failed\nnot here any more: ") && words(&text, "1")[1] == "failed", "{text}");
    let told = scene.run(&["show", "nobody"]).bad(1);
    assert!(told.contains("no message nobody: check the id"), "{told}");
    let told = scene.run(&["show", &"x".repeat(65)]);
    assert!(told.code == 2 && told.err.contains("the message id must be"), "{}", told.err);
}

#[tokio::test]
async fn a_payload_is_shown_on_request_as_what_it_is() {
    let scene = Scene::new().await;
    let text = scene.run(&["show", "dead", "--payload"]).good();
    assert!(text.ends_with("\npayload, 11 bytes, as text:\n{\"order\":7}\n"), "{text}");
    let json = scene.run(&["show", "dead", "--payload", "--json"]).json();
    assert_eq!(json["payload"], json!({ "text": "{\"order\":7}", "hex": null, "bytes": 11, "cut": false }));
    let text = scene.run(&["show", "binary", "--payload"]).good();
    assert!(text.ends_with("\npayload, 3 bytes, as hexadecimal:\nff001b\n"), "{text}");
    let json = scene.run(&["show", "binary", "--payload", "--json"]).json();
    assert_eq!(json["payload"], json!({ "text": null, "hex": "ff001b", "bytes": 3, "cut": false }));
}

#[tokio::test]
async fn a_long_payload_is_cut_between_letters_and_gives_no_orders() {
    let scene = Scene::new().await;
    let long = format!("{}é\u{1b}[31m", "x".repeat(4095));
    let messages = [
        Message::to("t").text(long).unwrap(),
        Message::to("t").payload(vec![0xfe; 5000]).unwrap(),
        Message::to("t").text("a\u{1b}[31m\nb").unwrap(),
    ];
    let ids = scene.outbox.store().enqueue(&messages).await.unwrap();
    let shown = |at: usize| scene.run(&["show", ids[at].as_str(), "--payload", "--json"]).json()["payload"].clone();
    let (text, bytes) = (shown(0), shown(1));
    assert_eq!(
        (text["text"].as_str().unwrap().len(), &text["cut"], &text["bytes"]),
        (4095, &json!(true), &json!(4102))
    );
    assert_eq!((bytes["hex"].as_str().unwrap().len(), &bytes["cut"]), (2 * 4096, &json!(true)));
    let text = scene.run(&["show", ids[2].as_str(), "--payload"]).good();
    assert!(text.ends_with(":\na\\u{1b}[31m\nb\n"), "{text}");
}
