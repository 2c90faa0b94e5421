//! `dead`: dead letters, with why.

use serde_json::json;

use crate::scene::Scene;
use crate::tool::{each, words};

#[tokio::test]
async fn dead_letters_are_listed_with_their_reasons() {
    let scene = Scene::new().await;
    let table = scene.run(&["dead"]).good();
    assert_eq!(words(&table, "MESSAGE").join(" "), "MESSAGE TOPIC KEY AGE DEAD FOR ATTEMPTS REASON");
    let line = words(&table, "dead");
    assert_eq!(
        (&line[1..3], line[5..].join(" ").as_str()),
        (&["gone".to_owned(), "g".to_owned()][..], "1 rejected: no customer for dead")
    );

    let listed =
        |args: &[&str]| each(&scene.run(&[&["dead", "--json"], args].concat()).json()["dead"], "message_id").join(" ");
    assert_eq!(listed(&[]), "dead binary");
    assert_eq!(listed(&["--error", "for binary"]), "binary");
    assert_eq!(listed(&["--topic", "gone", "--key", "g"]), "dead");
    assert_eq!(listed(&["--topic", "refused"]), "", "that has failed, and is not dead");
    assert_eq!(listed(&["--older-than", "1h"]), "");
    assert_eq!(listed(&["--limit", "5"]), "dead binary");
    assert_eq!(scene.run(&["dead", "--key", "nothing"]).good(), "no such dead letters\n");
    let cut = scene.run(&["dead", "--limit", "1"]);
    assert!(cut.code == 0 && cut.err.contains("the oldest 1"), "{}", cut.err);
}

#[tokio::test]
async fn each_attempt_of_a_dead_letter_is_shown_on_request() {
    let scene = Scene::new().await;
    let text = scene.run(&["dead", "--attempts", "--key", "g"]).good();
    assert!(text.contains("\ndead:\nATTEMPT  OUTCOME"), "{text}");
    let attempt = words(&text, "1");
    assert_eq!((attempt[1].as_str(), attempt[3..].join(" ").as_str()), ("dead", "rejected: no customer for dead"));
    let mut json = scene.run(&["dead", "--attempts", "--key", "g", "--json"]).json();
    assert!(json["dead"][0]["history"][0].as_object_mut().unwrap().remove("at_ms").unwrap().is_u64());
    let expected = json!([{ "attempt": 1, "outcome": "dead", "error": "rejected: no customer for dead" }]);
    assert_eq!(json["dead"][0]["history"], expected);
    assert_eq!(scene.run(&["dead", "--json"]).json()["dead"][0].get("history"), None);
}
